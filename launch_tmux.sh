#!/usr/bin/env bash
# The whole system in one tmux window: ZooKeeper, Kafka and htop above, the producers and the
# consumer below. Every part waits by itself for what it needs, so all are started at once.
set -euo pipefail

SESSION=numbers

main() {
  enter_project
  # A shell can outlive the tmux that it names.
  server list-sessions >/dev/null 2>&1 || unset TMUX TMUX_PANE
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
./launch_tmux.sh         start the system, or attach to it where it runs
./launch_tmux.sh stop    stop it: producers and consumer first, then Kafka, then ZooKeeper
./launch_tmux.sh --help  show this

With KAFKA_BOOTSTRAP_SERVERS set, producers and consumer use that Kafka and no broker is started.
END
}

# Goes to the directory of this file, which may have been called through symbolic links.
enter_project() {
  local file=${BASH_SOURCE[0]} target
  while [[ -L $file ]]; do
    target=$(readlink "$file")
    [[ $target == /* ]] || target=$(dirname "$file")/$target
    file=$target
  done
  CDPATH='' cd -P -- "$(dirname "$file")"
}

start_or_attach() {
  if ! running; then
    broker/install tmux htop
    running || start
  fi
  attach
}

# Whether our session is there. One of the same name that is not ours ends the script.
running() {
  local owner
  server has-session -t "=$SESSION" 2>/dev/null || return 1
  owner=$(server show-options -qv -t "=$SESSION:" @numbers-project)
  [[ $owner == "$PWD" ]] ||
    die "The tmux session \"$SESSION\" belongs to ${owner:-something else}: end or rename it first."
}

start() {
  local python=.venv/bin/python monitor above below
  ! own_broker || "$python" -m broker check-ports
  monitor=$(command -v htop || command -v top)
  # htop is not to write into the person's home. Where somebody else was faster with a session of
  # this name, it must be ours.
  above=$(server new-session -d -s "$SESSION" -n "$SESSION" -P -F '#{pane_id}' \
    env HTOPRC="$PWD/.kafka/htoprc" "$monitor" \; set-option -p @title "${monitor##*/}" \; \
    set-option @numbers-project "$PWD" \; set-option destroy-unattached off) || {
    running
    return
  }
  trap 'server kill-session -t "=$SESSION"' EXIT
  { appearance && environment; } | tmux source-file -
  # 200 columns and 50 rows, whatever terminals there are, make equal tiles of 66 and 24.
  server resize-window -t "$above" -x 200 -y 50
  if own_broker; then
    tile ZooKeeper -hb 66 "$above" "$python" -m broker zookeeper-server-start >/dev/null
    tile Kafka -hb 66 "$above" "$python" -m broker kafka-server-start >/dev/null
  fi
  below=$(tile 'Producer A' -vf 24 "$above" "$python" producer_a.py)
  below=$(tile 'Producer B' -h 133 "$below" "$python" producer_b.py)
  below=$(tile 'Consumer C' -h 66 "$below" "$python" consumer_c.py)
  server select-pane -t "$below"
  keep_tiles_equal
  trap - EXIT
}

own_broker() { [[ -z ${KAFKA_BOOTSTRAP_SERVERS:-} ]]; }

# tile TITLE SPLIT SIZE TILE COMMAND...: splits a tile for a command, prints the id of the new one.
# tmux scrolls by a line when it says that a program has ended: "echo" provides an empty one.
tile() {
  server split-window "$2" -l "$3" -t "$4" -P -F '#{pane_id}' \
    sh -c 'echo; exec "$@"' "$1" "${@:5}" \; set-option -p @title "$1"
}

# Whenever the window has a new size, tmux makes the tiles fit it anew from their first, equal ones:
# from those it had last, they would grow apart. (tmux 3.2 has no hook for a new size alone.)
keep_tiles_equal() {
  local equal
  equal=$(server display-message -p -t "=$SESSION:" '#{window_layout}')
  server set-hook -w -t "=$SESSION:" window-layout-changed "
    if-shell -F '#{?window_zoomed_flag,,#{!=:#{@size},#{window_width}x#{window_height}}}' {
      set-option -w -F @size '#{window_width}x#{window_height}'
      select-layout '$equal'
    }" \; set-option -w -t "=$SESSION:" window-size latest
}

# Options of our session alone, as commands for tmux.
appearance() {
  local again='#{prefix} :respawnp -t .#{pane_index}'
  # Built with utempter, tmux can miss that a program has ended; any child makes it look again.
  local look='#{?#{==:#{pane_dead_status}#{pane_dead_signal},},#(:),}'
  cat <<END
set-option -t =$SESSION: status-interval 1
set-option -w -t =$SESSION: remain-on-exit on
set-option -w -t =$SESSION: -q remain-on-exit-format "$again starts it again#{?pane_dead_status, (it ended with status #{pane_dead_status}),}"
set-option -w -t =$SESSION: pane-border-status top
set-option -w -t =$SESSION: pane-border-format "#{?pane_active,#[reverse],} #{?pane_dead,$look#{?#{e|<:#{pane_width},50},,#{@title} has ended: }$again,#{@title}} "
END
}

# Our settings, as commands for tmux: a server that ran before does not have them, or has others.
# They go through a pipe because everybody can read a command line.
environment() {
  local name value
  server show-environment -g | LC_ALL=C sed -nE \
    "s/^((KAFKA|BROKER|ZOOKEEPER)_[A-Za-z0-9_]*|JAVA_HOME)=.*/set-environment -t =$SESSION -r \1/p"
  for name in ${!KAFKA_@} BROKER_DATA BROKER_PORT ZOOKEEPER_PORT JAVA_HOME PATH; do
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
    server switch-client -t "=$SESSION" && return
  elif [[ -t 0 && -t 1 && ${TERM:-dumb} != dumb ]]; then
    tmux attach-session -t "=$SESSION" && return
    running || return
  fi
  echo "The system runs in the tmux session \"$SESSION\"."
  echo "To see it:  tmux attach-session -t $SESSION"
  printf 'To stop it: %q stop\n' "$PWD/launch_tmux.sh"
}

# A terminal that was opened from within tmux can have its environment, but is no pane of it.
inside_tmux() {
  [[ -n ${TMUX_PANE:-} && $(server display-message -p -t "$TMUX_PANE" '#{pane_tty}') == "$(tty)" ]]
}

stop() {
  if ! running; then
    echo "Nothing is running."
    return
  fi
  # Where the scripts end at once Kafka has the time to write its class archive, as it does once.
  SECONDS=0
  end 5 'Producer A|Producer B|Consumer C'
  end 7 Kafka
  end 8 ZooKeeper
  end 9 '.*'
  server kill-session -t "=$SESSION"
  echo "Stopped."
}

# end SECONDS TITLES: asks the programs in these tiles to end, and ends them that have not done so
# that many seconds after the stop began.
end() {
  local pid
  for pid in $(pids "$2"); do kill -TERM "$pid" 2>/dev/null || true; done
  while [[ -n $(pids "$2") ]] && ((SECONDS < $1)); do sleep 0.1; done
  for pid in $(pids "$2"); do kill -KILL "$pid" 2>/dev/null || true; done
}

# What runs in these tiles. tmux knows better than "kill -0", for which a zombie runs as well.
pids() {
  server list-panes -s -t "=$SESSION:" -F '#{?pane_dead,,#{@title}=#{pane_pid}}' |
    sed -nE "s/^($1)=//p"
}

# In a terminal that tmux does not know it refuses every command, not only to attach.
server() { tmux "$@" </dev/null; }

die() {
  echo "$1" >&2
  exit 1
}

main "$@"
