#!/usr/bin/env bash
# Runs the whole system in one tmux window: ZooKeeper, Kafka and htop above, the producers and the
# consumer below. Every program waits for what it needs by itself, so all are started at once.
set -euo pipefail

SESSION=numbers
# The file with the process id and the socket of the tmux server that has the session, and that
# socket; empty for this terminal's own server.
SERVER=${BROKER_DATA:-.kafka/data}/tmux
SOCKET=

main() {
  enter_project
  # The tmux server that TMUX names may have exited.
  tmux_quietly list-sessions >/dev/null 2>&1 || unset TMUX TMUX_PANE
  case $* in
  '') start_or_attach ;;
  stop) stop ;;
  --help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
  esac
}

usage() {
  cat <<END
./launch_tmux.sh         start the system, or attach to it if it is running
./launch_tmux.sh stop    stop it: producers and consumer first, then Kafka, then ZooKeeper
./launch_tmux.sh --help  show this help

If KAFKA_BOOTSTRAP_SERVERS is set, producers and consumer use that Kafka and no broker is started.
END
}

# Changes to the directory of this file, which may have been called through symbolic links.
enter_project() {
  local file=${BASH_SOURCE[0]} target
  while [[ -L $file ]]; do
    target=$(readlink "$file")
    [[ $target == /* ]] || target=$(dirname "$file")/$target
    file=$target
  done
  CDPATH='' cd -P -- "$(dirname "$file")"
}

# Finds the tmux server that was used last: it may have another socket than this terminal's, and a
# cleaner of /tmp may have deleted the socket. tmux creates it again at SIGUSR1.
find_server() {
  local pid socket name
  [[ -s $SERVER ]] && read -r pid socket <"$SERVER" || return 0
  # Not every Linux has ps.
  name=$(cat "/proc/$pid/comm" 2>/dev/null || ps -o comm= -p "$pid" 2>/dev/null) || true
  if [[ ! -S $socket && $name == *tmux* ]]; then
    [[ -d ${socket%/*} ]] || mkdir -m 700 "${socket%/*}" || return 0
    kill -USR1 "$pid" || return 0
    for _ in {1..20}; do [[ -S $socket ]] || sleep 0.1; done
  fi
  SOCKET=$socket
  tmux_quietly has-session -t "=$SESSION" 2>/dev/null || SOCKET=
}

start_or_attach() {
  find_server
  if ! running; then
    broker/install tmux htop
    running || start
  fi
  attach
}

# Whether our session exists. Exits if the session of that name is not ours.
running() {
  local owner
  tmux_quietly has-session -t "=$SESSION" 2>/dev/null || return 1
  owner=$(tmux_quietly show-options -qv -t "=$SESSION:" @numbers-project)
  [[ $owner == "$(project)" ]] ||
    die "The tmux session \"$SESSION\" belongs to ${owner:-something else}: end or rename it first."
}

# This directory in ASCII: tmux alters other characters where the locale is C.
project() (LC_ALL=C && printf '%q' "$PWD")

start() {
  local monitor above below python=(.venv/bin/python -E) # -E: settings of another Python do no harm
  ! local_broker || "${python[@]}" -m broker check
  monitor=$(command -v htop || command -v top) || die "Neither htop nor top is installed."
  above=$(create_session "$monitor") || {
    running # another start of this project was faster
    return
  }
  trap 'tmux_quietly kill-session -t "=$SESSION"' EXIT
  mkdir -p "${SERVER%/*}"
  tmux_quietly display-message -p -t "$above" '#{pid} #{socket_path}' >"$SERVER"
  without_own_hooks "$above"
  tmux_quietly set-option -p -t "$above" @title "${monitor##*/}"
  { appearance && environment; } | tmux_on_server source-file -
  # 200 by 50, whatever the terminal: this divides into equal tiles of 66 columns and 24 rows.
  tmux_quietly resize-window -t "$above" -x 200 -y 50
  if local_broker; then
    tile ZooKeeper -hb 66 "$above" "${python[@]}" -m broker zookeeper-server-start >/dev/null
    tile Kafka -hb 66 "$above" "${python[@]}" -m broker kafka-server-start >/dev/null
  fi
  below=$(tile 'Producer A' -vf 24 "$above" "${python[@]}" producer_a.py)
  below=$(tile 'Producer B' -h 133 "$below" "${python[@]}" producer_b.py)
  below=$(tile 'Consumer C' -h 66 "$below" "${python[@]}" consumer_c.py)
  tmux_quietly select-pane -t "$below"
  keep_tiles_equal
  trap - EXIT
}

local_broker() { [[ -z ${KAFKA_BOOTSTRAP_SERVERS:-} ]]; }

# create_session MONITOR: creates the session, MONITOR in its first tile; prints the tile's pane id.
create_session() {
  local first=()
  # A server of our own must not exit while nobody looks; tmux 3.3 fails where sizes are manual.
  tmux_quietly list-sessions >/dev/null 2>&1 ||
    first=(start-server \; set-option -gw window-size latest \; set-option -s exit-unattached off \;)
  # HTOPRC keeps htop from writing to the home directory.
  tmux_quietly ${first[@]+"${first[@]}"} new-session -d -s "$SESSION" -n "$SESSION" -P -F '#{pane_id}' \
    env HTOPRC="$PWD/.kafka/htoprc" "$1" \; set-option -t "=$SESSION:" destroy-unattached off \; \
    set-option -t "=$SESSION:" @numbers-project "$(project)"
}

# Undoes what the person's tmux hooks did to the new session, and disables them there.
without_own_hooks() {
  local hook
  for hook in $({ tmux_quietly show-hooks -g && tmux_quietly show-hooks -gw; } |
    sed -nE 's/^([a-z-]+)(\[[0-9]+\])? .*/\1/p' | sort -u); do
    tmux_quietly set-hook -t "$1" "$hook" ''
  done
  tmux_quietly kill-window -a -t "$1" \; kill-pane -a -t "$1"
}

# tile TITLE SPLIT SIZE TILE COMMAND...: splits TILE to run COMMAND; prints the new pane id.
# tmux scrolls one line to report that a program has exited: "echo" gives it a blank one.
tile() {
  tmux_quietly split-window "$2" -l "$3" -t "$4" -P -F '#{pane_id}' \
    sh -c 'echo; exec "$@"' "$1" "${@:5}" \; set-option -p @title "$1"
}

# At each new size of the window, tmux scales the original layout of equal tiles: scaling the
# current one would add up rounding errors. (tmux 3.2 has no hook for a new size alone.)
keep_tiles_equal() {
  local equal
  equal=$(tmux_quietly display-message -p -t "=$SESSION:" '#{window_layout}')
  tmux_quietly set-hook -w -t "=$SESSION:" window-layout-changed "
    if-shell -F '#{?window_zoomed_flag,,#{!=:#{@size},#{window_width}x#{window_height}}}' {
      set-option -w -F @size '#{window_width}x#{window_height}'
      select-layout '$equal'
    }" \; set-option -w -t "=$SESSION:" window-size latest
}

# Prints tmux commands that set options of our session only.
appearance() {
  local restart='#{prefix} :respawnp -t .#{pane_index}'
  # A tmux built with utempter can miss that a program has exited, until another child exits.
  local check='#{?#{==:#{pane_dead_status}#{pane_dead_signal},},#(:),}'
  cat <<END
set-option -t =$SESSION: status-interval 1
set-option -w -t =$SESSION: remain-on-exit on
set-option -w -t =$SESSION: -q remain-on-exit-format "$restart starts it again#{?pane_dead_status, (it ended with status #{pane_dead_status}),}"
set-option -w -t =$SESSION: synchronize-panes off
set-option -w -t =$SESSION: pane-base-index 0
set-option -w -t =$SESSION: pane-border-status top
set-option -w -t =$SESSION: pane-border-format "#{?pane_active,#[reverse],} #{?pane_dead,$check#{?#{e|<:#{pane_width},50},,#{@title} has ended: }$restart,#{@title}} "
END
}

# Prints tmux commands that pass our settings on: a tmux server that is already running has none,
# or others. They go through a pipe because other users can read command lines.
environment() {
  local name value
  tmux_quietly show-environment -g | LC_ALL=C sed -nE \
    "s/^((KAFKA|BROKER|ZOOKEEPER|AWS|KRB5)_?[A-Za-z0-9_]*|JAVA_HOME)=.*/set-environment -t =$SESSION -r \1/p"
  for name in ${!KAFKA_@} ${!AWS_@} ${!KRB5@} BROKER_DATA BROKER_PORT ZOOKEEPER_PORT JAVA_HOME PATH; do
    [[ -n ${!name+set} ]] || continue
    value=${!name//\\/\\\\}
    value=${value//\"/\\\"}
    value=${value//\$/\\\$}
    value=${value//\~/\\~}
    value=${value//$'\n'/\\n}
    printf 'set-environment -t =%s %s "%s"\n' "$SESSION" "$name" "$value"
  done
}

attach() {
  if inside_tmux; then
    tmux_quietly switch-client -t "=$SESSION" && return
  elif [[ -t 0 && -t 1 && ${TERM:-dumb} != dumb ]]; then
    tmux_on_server attach-session -t "=$SESSION" && return
    running || return
  fi
  echo "The system is running in the tmux session \"$SESSION\"."
  echo "To see it:  tmux$(own_socket) attach-session -t $SESSION"
  printf 'To stop it: %q stop\n' "$PWD/launch_tmux.sh"
}

# The option that names the tmux server, where that is not this terminal's own.
own_socket() {
  [[ -z $SOCKET ]] || tmux has-session -t "=$SESSION" 2>/dev/null || printf ' -S %q' "$SOCKET"
}

# A terminal opened from within tmux inherits its environment without being one of its panes.
inside_tmux() {
  [[ -n ${TMUX_PANE:-} && $(tmux_quietly display-message -p -t "$TMUX_PANE" '#{pane_tty}') == "$(tty)" ]]
}

stop() {
  find_server
  if ! running; then
    echo "Nothing is running."
    return
  fi
  # The scripts exit at once as a rule, which leaves Kafka time to write its class archive.
  SECONDS=0
  terminate 5 'Producer A|Producer B|Consumer C'
  terminate 7 Kafka
  terminate 8 ZooKeeper
  terminate 9 '.+'
  tmux_quietly kill-session -t "=$SESSION"
  rm -f "$SERVER"
  echo "Stopped."
}

# terminate SECONDS TITLES: sends SIGTERM to the programs in these tiles, and SIGKILL to those
# still running that many seconds after the stop began.
terminate() {
  local pid
  for pid in $(pids "$2"); do kill -TERM "$pid" 2>/dev/null || true; done
  while [[ -n $(pids "$2") ]] && ((SECONDS < $1)); do sleep 0.1; done
  for pid in $(pids "$2"); do kill -KILL "$pid" 2>/dev/null || true; done
}

# Process ids of the programs in these tiles, from tmux: "kill -0" also succeeds for a zombie.
pids() {
  tmux_quietly list-panes -s -t "=$SESSION:" -F '#{?pane_dead,,#{@title}=#{pane_pid}}' |
    sed -nE "s/^($1)=//p"
}

# On a terminal of a type that it does not know, tmux refuses every command, not just to attach.
tmux_quietly() { tmux_on_server "$@" </dev/null; }

tmux_on_server() { tmux ${SOCKET:+-S "$SOCKET"} "$@"; }

die() {
  echo "$1" >&2
  exit 1
}

main "$@"
