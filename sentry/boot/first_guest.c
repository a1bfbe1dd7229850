// A first program for the sandbox: output, a child, a thread's worth of signals, an exit status.
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t seen;
static void on_signal(int signo) { seen = signo; }

int main(int argc, char** argv) {
  signal(SIGUSR1, on_signal);
  raise(SIGUSR1);
  const pid_t child = fork();
  if (child == 0) _exit(3);
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 1;
  printf("%s %d: pid %d, child %d, signal %d\n", argv[0], argc, getpid(), WEXITSTATUS(status), (int)seen);
  fflush(stdout);
  return 7;
}
