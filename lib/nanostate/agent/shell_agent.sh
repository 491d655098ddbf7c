# The agent where there is no Python: commands with their guards, `raw`, binary modules. POSIX sh and its usual tools.
#
# The session sends this script, then lines: `has HASH`, `put HASH BYTES` and the bytes, `run BYTES` and a script that calls
# begin, needs, command_, module, cannot and done_ below. All output is lines; behind `ran` follow the bytes of both outputs.
# Q1. While a run goes on, standard input is watched: at its end all of this process group is killed, and the group of the
#     step. A transport starts each login with a group of its own.
# Q2. Nothing that a step starts has the channel: its input is empty, its output goes to files of a folder for this agent alone.
umask 077
exec 3<&0
folder= cache= group= failed= stopped= rule= check= open=
command -v setsid >/dev/null 2>&1 && group=setsid
command -v sha256sum >/dev/null 2>&1 && cache=$HOME/.cache/salar-nanostate

# A folder that nobody else can have made, and into which something can be written.
place() {
  for base in "$TMPDIR" /tmp /var/tmp; do
    [ -n "$base" ] && mkdir "$base/salar-nanostate-$n" 2>/dev/null || continue
    folder=$base/salar-nanostate-$n
    { echo probe >"$folder/probe"; } 2>/dev/null && return
    rm -rf "$folder"
  done
  folder=
  echo "disk $TMPDIR /tmp /var/tmp: nothing can be written there"
  exit 1
}

private() { # FOLDER
  mkdir -p "$1" 2>/dev/null && [ -O "$1" ] && [ ! -h "$1" ] && case $(ls -ld "$1") in drwx------*) ;; *) false ;; esac
}

hashed() { # FILE HASH
  [ -f "$1" ] && [ ! -h "$1" ] && [ "$(sha256sum <"$1")" = "$2  -" ]
}

find_module() { # HASH: path
  for path in "$cache/$1" "$folder/$1"; do
    if [ -n "$cache" ]; then hashed "$path" "$1" && return; else [ -f "$path" ] && return; fi
  done
  return 1
}

# Nothing may be read ahead: what follows is the next line.
receive() { # BYTES
  if dd iflag=fullblock count=0 </dev/null >/dev/null 2>&1; then
    [ "$1" -lt 65536 ] || dd iflag=fullblock bs=65536 count=$(($1 / 65536))
    [ $(($1 % 65536)) -eq 0 ] || dd iflag=fullblock bs=$(($1 % 65536)) count=1
  else
    dd bs=1 count="$1"
  fi <&3 2>/dev/null
}

put() { # HASH BYTES
  [ -n "$folder" ] || place
  receive "$2" >"$folder/part"
  if [ -n "$cache" ] && ! hashed "$folder/part" "$1"; then
    echo "bad the disk is full, or the content came changed"
    return
  fi
  chmod 700 "$folder/part"
  mv "$folder/part" "$folder/$1"
  # Over file systems a move is no rename: the cache must never show half a file.
  if [ -n "$cache" ] && private "$cache" && cp -p "$folder/$1" "$cache/$1.part-$n" 2>/dev/null; then
    mv "$cache/$1.part-$n" "$cache/$1" && rm "$folder/$1"
  fi
  echo put
}

# First the sign, then the number, as a step does it the other way round: one of the two sees the other. Killed are a step
# that has its group yet, and one that has not.
watch() {
  (
    while read -r line; do :; done
    : >"$folder/closed"
    if [ -s "$folder/pid" ]; then
      read -r child <"$folder/pid"
      kill -s KILL "$child"
      kill -s KILL -- "-$child"
    fi
    rm -rf "$folder"
    kill -s KILL 0
  ) <&3 >/dev/null 2>&1 &
  watcher=$!
}

# Sets rc, and over when the time of the step was used up.
go() { # PROGRAM ARGUMENT...
  over=0
  left=$((end - $(date +%s)))
  if [ $left -le 0 ]; then
    over=1 rc=- spent=1
    return
  fi
  /bin/sh -c 'echo $$ >"$0/pid" && [ ! -e "$0/closed" ] && exec "$@"' "$folder" $group "$@" \
    >"$folder/out" 2>"$folder/err" </dev/null 3<&- &
  child=$!
  target=$child
  [ -n "$group" ] && target=-$child
  (
    trap 'kill $!; exit' TERM
    sleep $left &
    wait $!
    echo over >"$folder/over"
    kill -s TERM -- $target
    sleep 1
    kill -s KILL -- $target
  ) >/dev/null 2>&1 3<&- &
  timer=$!
  wait $child
  rc=$?
  kill $timer 2>/dev/null
  wait $timer
  rm -f "$folder/pid"
  if [ -e "$folder/over" ]; then
    # What did not listen to the first signal.
    kill -s KILL -- $target 2>/dev/null
    rm "$folder/over"
    over=1 rc=- spent=1
  fi
}

there() { # PATTERN
  kept=$IFS IFS=
  for path in $1; do
    if [ -e "$path" ] || [ -h "$path" ]; then
      IFS=$kept
      return 0
    fi
  done
  IFS=$kept
  return 1
}

size() { # FILE
  if [ -s "$1" ]; then echo $(($(wc -c <"$1"))); else echo 0; fi
}

# Something in the background may still write: what is sent is a copy.
tell() { # WORD
  for each in out err; do
    cp "$folder/$each" "$folder/$each.told" 2>/dev/null || : >"$folder/$each.told"
    if [ "$(size "$folder/$each.told")" -gt 10485760 ]; then
      {
        dd if="$folder/$each.told" bs=65536 count=80 2>/dev/null
        printf '\n[%d bytes left out]\n' $(($(size "$folder/$each.told") - 10485760))
        tail -c 5242880 "$folder/$each.told"
      } >"$folder/$each.cut"
      mv "$folder/$each.cut" "$folder/$each.told"
    fi
  done
  echo "$1 $rc $over $(size "$folder/out.told") $(size "$folder/err.told")"
  cat "$folder/out.told" "$folder/err.told"
}

# False when an earlier step's failure stops this one.
begin() { # NUMBER SECONDS
  if [ -n "$stopped" ]; then
    echo "stopped $stopped"
    return 1
  fi
  step=$1 failed= spent=
  end=$(($(date +%s) + $2))
  echo begin
}

# Steps of other groups that must have gone well; `-` is one that this run does not have.
needs() { # NUMBER...
  [ -z "$stopped" ] || return
  for need; do
    case $fine in *" $need "*) ;; *) stopped=$need && return ;; esac
  done
}

done_() {
  [ "$stopped" = "$step" ] || fine="$fine $step "
  echo done
}

failing() {
  [ "$rule" = go-on ] && return
  failed=1 stopped=$step
}

# The guards that do not apply are empty.
guarded() {
  if [ -n "$creates" ] && there "$creates"; then why="creates"; return; fi
  if [ -n "$removes" ] && ! there "$removes"; then why="removes"; return; fi
  if [ -n "$unless" ]; then
    go /bin/sh -c "$unless"
    if [ $over = 1 ]; then why=over; return; fi
    if [ "$rc" = 0 ]; then why="unless"; return; fi
  fi
  if [ -n "$onlyif" ]; then
    go /bin/sh -c "$onlyif"
    if [ $over = 1 ]; then why=over; return; fi
    if [ "$rc" != 0 ]; then why="onlyif $rc"; return; fi
  fi
  if [ -n "$once" ] && [ -e "$HOME/.local/state/salar-nanostate/once-$once" ]; then why="once"; return; fi
  why=
}

# Uses run, creates, removes, unless, onlyif, once, key, ok, looks.
command_() {
  if [ -n "$spent" ]; then echo spent; return; fi
  if [ -n "$failed" ]; then echo not-run; return; fi
  guarded
  if [ "$why" = over ]; then
    : >"$folder/out" >"$folder/err"
    failing
    tell ran
    return
  fi
  if [ -n "$why" ]; then echo "skipped $why"; return; fi
  if [ -n "$check" ] && { [ -n "$open" ] || [ -z "$looks" ]; }; then
    [ -n "$looks" ] || open=1
    echo would
    return
  fi
  [ -z "$check" ] || once=
  if [ -n "$once" ] && ! private "$HOME/.local/state/salar-nanostate"; then
    failing
    echo forgetful
    return
  fi
  go /bin/sh -c "$run"
  case " $ok " in *" $rc "*) good=1 ;; *) good= ;; esac
  if [ -z "$good" ]; then failing; elif [ -n "$once" ]; then
    printf '%s\n' "$key" >"$HOME/.local/state/salar-nanostate/once-$once"
  fi
  tell ran
}

# Its result tells, not its exit code; without a result it did.
module_failed() {
  [ $over = 0 ] && grep -q '^ *{' "$folder/out" || return 0
  if grep -q '"failed":' "$folder/out"; then grep -q '"failed": *true' "$folder/out"; else
    grep -q '"rc": *-\{0,1\}[1-9]' "$folder/out"
  fi
}

module() { # HASH ARGUMENTS
  if ! find_module "$1"; then
    failing
    echo "cannot"
    return
  fi
  chmod 700 "$path"
  printf '%s' "$2" >"$folder/args"
  go "$path" "$folder/args"
  rm -f "$folder/args"
  if module_failed; then failing; fi
  ! grep -Eq '"(changed|skipped)": *true' "$folder/out" || open=1
  tell ran
}

cannot() {
  failing
  echo cannot
}

echo "hello $(id -un) $(uname -s) $(uname -m)"
while read -r verb one two <&3; do
  case $verb in
    has) if find_module "$one"; then echo yes; else echo no; fi ;;
    put) put "$one" "$two" ;;
    run)
      script=$(receive "$one")
      [ -n "$folder" ] || place
      stopped= fine=
      watch
      eval "$script"
      kill $watcher 2>/dev/null
      wait $watcher
      echo end
      ;;
  esac
done
[ -n "$folder" ] && rm -rf "$folder"
