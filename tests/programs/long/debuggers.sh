#!/bin/bash
# gdb: a program from its start, one that runs already, threads; strace: a command, its children, a running process.
. "$(dirname "$0")/../lib.sh"

cat >debugged.c <<'END'
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

volatile int rounds;
volatile long watched;

static int twice(int number) { return 2 * number; }

static void* worker(void* unused) {
  for (;;) {
    ++rounds;
    poll(NULL, 0, 1);
  }
  return unused;
}

int main(int argc, char** argv) {
  if (argc > 1) {
    pthread_t thread;
    pthread_create(&thread, NULL, worker, NULL);
    for (;;) pause();
  }
  int sum = 0;
  for (int i = 0; i < 5; ++i) sum += twice(i);
  watched = sum;
  printf("sum %d\n", sum);
  return sum == 20 ? 7 : 1;
}
END
gcc -g -O0 -pthread -o debugged debugged.c

gdb -q -nx -batch -ex 'set pagination off' -ex 'set confirm off' -ex 'break twice if number == 3' -ex run -ex backtrace \
  -ex 'print number' -ex finish -ex 'print sum' -ex 'set var sum = 106' -ex 'watch watched' -ex continue -ex continue \
  ./debugged >out 2>err || true
is "breakpoint" "$(grep -c 'Breakpoint 1, twice (number=3)' out)" 1
is "argument" "$(grep -c '^\$1 = 3' out)" 1
is "frames" "$(grep -cE '^#1 .* main \(' out)" 1
is "value returned" "$(grep -c 'Value returned is .* = 6' out)" 1
is "watchpoint" "$(grep -c 'New value = 120' out)" 1
is "changed sum" "$(grep -c '^sum 120' out)" 1
is "exit status" "$(grep -c 'exited with code 01' out)" 1

./debugged threads &
pid=$!
eventually grep -q 'Threads:.2' "/proc/$pid/status"
gdb -q -nx -batch -p "$pid" -ex 'set pagination off' -ex 'info threads' -ex 'thread apply all backtrace' -ex 'print rounds > 0' \
  -ex 'print twice(21)' -ex 'break worker if 0' -ex 'x/2i $pc' -ex detach >out 2>err
is "threads" "$(grep -cE '^[* ] +[12] +Thread' out)" 2
at_least "frames of main" "$(grep -cE '^#[0-9]+ .* main \(' out)" 1
at_least "frames of worker" "$(grep -cE '^#[0-9]+ .* worker \(' out)" 1
is "rounds" "$(grep -c '^\$1 = 1' out)" 1
is "called function" "$(grep -c '^\$2 = 42' out)" 1
kill -0 "$pid" || fail "the program ended when gdb went"
is "tracer afterwards" "$(awk '/TracerPid/ { print $2 }' "/proc/$pid/status")" 0

timeout 2 strace -f -o trace -p "$pid" 2>err || true
at_least "calls seen of a running process" "$(grep -c "poll(NULL, 0, 1)" trace)" 100
kill "$pid"
wait "$pid" 2>/dev/null || true

strace -f -o trace bash -c 'echo hello | cat; exit 3' >out && fail "strace lost the status"
is "output" "$(cat out)" hello
at_least "execve" "$(grep -c 'execve("/.*/cat", \["cat"\]' trace)" 1
at_least "write" "$(grep -c 'write(1, "hello\\n", 6' trace)" 2
is "exits" "$(grep -c '+++ exited with 3 +++' trace)" 1
strace -c -o counts ls / >out
is "counted execve" "$(awk '$NF == "execve" { print $4 }' counts)" 1
at_least "counted kinds of call" "$(wc -l <counts)" 12
