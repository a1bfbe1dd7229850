#!/bin/bash
# tmux with its windows, vim in its Ex mode, script.
. "$(dirname "$0")/../lib.sh"

export TERM=screen SHELL=/bin/bash
tmux -f /dev/null -S s new-session -d -x 80 -y 24 "bash --norc --noprofile"
tmux -S s send-keys 'PS1=; clear; echo $((6 * 7)) > out; tty; stty size' Enter
eventually test -s out
is shell "$(cat out)" 42
eventually bash -c "tmux -S s capture-pane -p | grep '24 80'"
tmux -S s split-window -h 'exec top -d 1'
eventually bash -c "tmux -S s capture-pane -p -t 1 | grep -i '%Cpu'"
tmux -S s new-window 'exec cat'
tmux -S s send-keys 'hello' Enter
eventually bash -c "[ \$(tmux -S s capture-pane -p | grep -c hello) = 2 ]"
is panes "$(tmux -S s list-panes -a | wc -l)" 3
tmux -S s resize-window -x 100 -y 30 -t 0
tmux -S s kill-server
eventually bash -c '! pgrep -x tmux'
seq 100 >n
vim.tiny -es -u NONE -c 'g/7/d' -c '%s/1/one/g' -c wq n
is edited "$(md5sum <n)" "$(seq 100 | grep -v 7 | sed s/1/one/g | md5sum)"
printf 'ihello\033:wq\r' >keys
script -qec 'vim.tiny -u NONE -s keys typed' /dev/null >/dev/null </dev/null
is typed "$(cat typed)" hello
