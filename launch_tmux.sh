#!/usr/bin/env bash
# Runs the whole system in one tmux window: ZooKeeper, Kafka and htop above, the producers and the
# consumer below. Every program waits for what it needs by itself, so all are started at once.
#
#    ./launch_tmux.sh         start the system, or attach to it if it is running
#    ./launch_tmux.sh stop    stop it: producers and consumer first, then Kafka, then ZooKeeper
#    ./launch_tmux.sh --help  show this help
#    If KAFKA_BOOTSTRAP_SERVERS is set, producers and consumer use that Kafka and no broker starts.
set -euo pipefail +o posix # in POSIX mode bash 3.2 knows no <(...)

# The tiles have a tmux server of their own: nobody's ~/.tmux.conf is read, nobody's tmux changed.
SERVER=(-L numbers)
# Its process id, user and socket, for whom "-L numbers" does not lead there.
[[ ${BROKER_DATA:-/} == /* ]] || export BROKER_DATA=$PWD/$BROKER_DATA
STATE=${BROKER_DATA:-.kafka/data}/tmux

main() {
  CDPATH='' cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")"
  PROJECT=$(LC_ALL=C && printf '%q' "$PWD/") # in ASCII: tmux alters all else in the locale C
  case $* in
  '')
    find_lost_server
    is_running || start
    attach
    ;;
  stop) stop ;;
  --help) usage ;;
  *) usage >&2 && exit 2 ;;
  esac
}

usage() { sed -n 's/^#    //p' launch_tmux.sh; }

# Whether the tiles of this project run. Exits if others have their tmux server.
is_running() {
  local owner
  owner=$(tiles show-options -gqv @project 2>/dev/null) || return 1
  [[ -n $owner ]] || die "Another program uses the tmux server \"numbers\". To end it: tmux -L numbers kill-server"
  [[ $owner == "$PROJECT" ]] ||
    die "The tiles of $owner are running. Stop them first: ${owner}launch_tmux.sh stop"
}

start() {
  local reason
  bash broker/install tmux htop || exit # "set -e" is off where a status is tested
  reason=$(.venv/bin/python -E -m broker check 2>&1) || is_running || die "$reason"
  NUMBERS_PROJECT=$PROJECT tiles -f <(configuration) start-server || true
  is_running || die "tmux could not start the tiles. TMUX_TMPDIR selects another place for its socket."
  tiles display-message -p "#{pid} $(id -un 2>/dev/null || id -u) #{socket_path}" >"$STATE"
}

# The configuration of the tiles' server, which reads it once. All else is as tmux has it.
configuration() {
  # Inside another tmux that has the same prefix, the tiles' prefix has to be typed twice.
  local same='#{==:#{@outer_prefix},#{prefix}}' restart='#{prefix} :respawnp -t .#{pane_index}'
  local nested="#{&&:$same,#{m:tmux *,#{client_termtype}}}"
  # A tmux built with utempter can miss that a program has ended, until another child ends.
  local check='#{?#{==:#{pane_dead_status}#{pane_dead_signal},},#(:),}'
  # At each new size of the window, the original layout of equal tiles is scaled: scaling the
  # current one would add up rounding errors. (tmux 3.2 has no hook for a new size alone.)
  local size='##{window_width}x##{window_height}' # expanded later than the format around it
  local resized="##{?window_zoomed_flag,,##{&&:##{!=:##{@size},$size},##{==:##{window_panes},#{window_panes}}}}"
  cat <<END
set-option -g @project "\$NUMBERS_PROJECT"
set-option -g mouse on ; set-option -g status-interval 1
set-option -g status-right "#{?$nested,#{prefix} #{prefix}: tiles#, #{prefix}: tmux around them,#{prefix} d leaves#, everything keeps running}"
set-option -g remain-on-exit on
set-option -gq remain-on-exit-format "#{?$same,#{prefix} ,}$restart starts it again#{?pane_dead_status, (it ended with status #{pane_dead_status}),}"
set-option -g pane-border-status top
set-option -g pane-border-format "#{?pane_active,#[reverse],} #{?pane_dead,$check#{?#{e|<:#{pane_width},50},,#{@title} has ended: }#{?$nested,#{prefix} ,}$restart,#{@title}} "
$(all_tiles)
set-option -wF window-layout-changed "if-shell -F '$resized' { set-option -wF @size '$size' ; select-layout '#{window_layout}' }"
END
}

# Each tile splits the one before it: 200 by 50 divides into tiles of 66 columns and 24 rows.
all_tiles() {
  local monitor=htop python='.venv/bin/python -E' # -E: settings of another Python do no harm
  command -v htop >/dev/null || monitor=top
  tile $monitor 'new-session -d -s numbers -n numbers -x 200 -y 50' "bash broker/monitor $monitor"
  if [[ -z ${KAFKA_BOOTSTRAP_SERVERS:-} ]]; then
    tile Kafka 'split-window -hb -l 133' "$python -m broker kafka-server-start"
    tile ZooKeeper 'split-window -hb -l 66' "$python -m broker zookeeper-server-start"
  fi
  tile 'Producer A' 'split-window -fv -l 24' "$python producer_a.py"
  tile 'Producer B' 'split-window -h -l 133' "$python producer_b.py"
  tile 'Consumer C' 'split-window -h -l 66' "$python consumer_c.py"
}

# tmux scrolls one line to report that a program has ended: "echo" gives it a blank one.
tile() { echo "$2 sh -c 'echo; exec $3' ; set-option -p @title '$1'"; }

# A cleaner of /tmp may have deleted the server's socket, which tmux creates again at SIGUSR1. Or
# TMUX_TMPDIR or the user is another one than at the start. (Not every Linux has ps.)
find_lost_server() {
  local pid user socket
  ! tiles has-session 2>/dev/null && [[ -s $STATE ]] && read -r pid user socket <"$STATE" || return 0
  [[ $({ cat "/proc/$pid/comm" || ps -o comm= -p "$pid"; } 2>/dev/null) == *tmux* ]] || return 0
  [[ -O $STATE || $EUID == 0 ]] || die "The tiles are running as $user (process $pid): stop them as $user."
  command -v tmux >/dev/null || die "The tiles are running (process $pid), but tmux is not on the PATH."
  (umask 77 && mkdir -p "${socket%/*}") && kill -USR1 "$pid"
  SERVER=(-S "$socket")
  for _ in {1..20}; do ! tiles has-session 2>/dev/null || return 0 && sleep 0.1; done
  SERVER=(-L numbers)
}

attach() {
  if [[ -t 0 && -t 1 && ${TERM:-dumb} != dumb ]] && ! in_a_tile; then
    tiles set-option -g @outer_prefix "${TMUX:+$(tmux display -p '#{prefix}' </dev/null 2>/dev/null)}"
    # tmux refuses every command on a terminal whose type the machine does not know.
    tmux "${SERVER[@]}" has-session 2>/dev/null || export TERM=xterm-256color
    tmux "${SERVER[@]}" attach-session && return
    is_running || return
  fi
  printf 'The system is running. To see it, in a terminal: %q\n' "$PWD/launch_tmux.sh"
  printf 'To stop it: %q stop\n' "$PWD/launch_tmux.sh"
}

stop() {
  find_lost_server
  is_running || { echo "Nothing is running." && return; }
  # Typed in a tile: the terminal that shows it leaves it, then stops all and can say so.
  if in_a_tile && tiles detach-client -E "bash $(printf '%q' "$PWD")/launch_tmux.sh stop"; then return; fi
  trap '' HUP # typed in a tile that no terminal shows
  # The scripts exit at once as a rule, which leaves Kafka time to write its CDS archive.
  SECONDS=0
  terminate 5 'Producer A|Producer B|Consumer C'
  terminate 7 Kafka
  terminate 8 '.+'
  tiles kill-server 2>/dev/null || true # another stop was faster
  rm -f "$STATE" && echo "Stopped."
}

# terminate SECONDS TITLES: sends SIGTERM to the programs in these tiles, and SIGKILL to those
# still running that many seconds after the stop began. (SECONDS can be ahead by one.)
terminate() {
  local pid
  for pid in $(pids "$2"); do kill -TERM "$pid" 2>/dev/null || true; done
  while [[ -n $(pids "$2") ]] && ((SECONDS <= $1)); do sleep 0.1; done
  for pid in $(pids "$2"); do kill -KILL "$pid" 2>/dev/null || true; done
}

# Process ids of the programs in these tiles, from tmux: "kill -0" also succeeds for a zombie.
pids() { tiles list-panes -a -F '#{?pane_dead,,#{@title}=#{pane_pid}}' | sed -nE "s/^($1)=//p"; }
in_a_tile() { [[ $(tiles display -p -t "${TMUX_PANE:-none}" '#{pane_tty}' 2>/dev/null) == "$(tty)" ]]; }
tiles() { tmux "${SERVER[@]}" "$@" </dev/null; }
die() { echo "$1" >&2 && exit 1; }

main "$@"
