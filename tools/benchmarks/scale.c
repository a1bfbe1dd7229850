// How the cost of a call grows with what there is: tools/bench --micro tools/benchmarks/scale.c
// Prints lines of a name, a tab and nanoseconds. usage: scale DIRECTORY [PREFIX]
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char* prefix = "";
static int wake_fd;
static pthread_barrier_t all_there;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int wanted(const char* name) { return strncmp(name, prefix, strlen(prefix)) == 0; }

static int file, epoll;

static void call_umask(void) { umask(022); }

static void call_pread(void) {
  char byte;
  if (pread(file, &byte, 1, 0) < 0) exit(1);
}

static void call_stat(void) {
  struct stat status;
  if (stat("/etc/passwd", &status) != 0) exit(1);
}

static void call_epoll_wait(void) {
  struct epoll_event ready;
  if (epoll_wait(epoll, &ready, 1, 0) != 1) exit(1);
}

// The best of three rounds: the machine is shared.
static void measure(const char* name, const char* with, void (*call)(void)) {
  const int calls = 10000;
  double best = 1e18;
  for (int round = 0; round < 3; ++round) {
    const double began = now();
    for (int i = 0; i < calls; ++i) call();
    const double each = (now() - began) / calls;
    if (each < best) best = each;
  }
  printf("%s with %s\t%.0f\n", name, with, best);
  fflush(stdout);
}

// The calls that stand for all: one that touches nothing, one of a file, one of a name.
static void measure_all(const char* with) {
  file = open("/etc/passwd", O_RDONLY | O_CREAT, 0644);
  if (file < 0) exit(1);
  measure("umask", with, call_umask);
  measure("pread", with, call_pread);
  measure("stat", with, call_stat);
  close(file);
}

static void* sleep_till_woken(void* unused) {
  char byte;
  pthread_barrier_wait(&all_there);
  if (read(wake_fd, &byte, 1) != 0) exit(1);
  return unused;
}

// Threads that sleep in a read.
static void with_threads(int count) {
  char what[40];
  snprintf(what, sizeof what, "%d threads asleep", count);
  int ends[2];
  if (pipe(ends) != 0) exit(1);
  wake_fd = ends[0];
  pthread_t* threads = calloc(count, sizeof *threads);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 << 10);
  pthread_barrier_init(&all_there, NULL, count + 1);
  const double began = now();
  for (int i = 0; i < count; ++i) {
    if (pthread_create(&threads[i], &small, sleep_till_woken, NULL) != 0) exit(1);
  }
  pthread_barrier_wait(&all_there);
  printf("create one of %d threads\t%.0f\n", count, (now() - began) / count);
  measure_all(what);
  close(ends[1]);
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  close(ends[0]);
  free(threads);
}

static void with_processes(int count) {
  char what[40];
  snprintf(what, sizeof what, "%d processes asleep", count);
  int ends[2];
  if (pipe(ends) != 0) exit(1);
  for (int i = 0; i < count; ++i) {
    const pid_t pid = fork();
    if (pid < 0) exit(1);
    if (pid == 0) {
      char byte;
      close(ends[1]);
      _exit(read(ends[0], &byte, 1) != 0);
    }
  }
  measure_all(what);
  close(ends[1]);
  for (int i = 0; i < count; ++i) wait(NULL);
  close(ends[0]);
}

// Descriptors, all watched by an epoll instance of which one is ready.
static void with_files(int count) {
  char what[40];
  snprintf(what, sizeof what, "%d descriptors watched", count);
  epoll = epoll_create1(0);
  int* files = calloc(count, sizeof *files);
  for (int i = 0; i < count; ++i) {
    struct epoll_event event = {EPOLLIN, {.fd = i}};
    files[i] = eventfd(i == count / 2, EFD_NONBLOCK);
    if (files[i] < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, files[i], &event) != 0) exit(1);
  }
  measure("epoll_wait", what, call_epoll_wait);
  measure_all(what);
  for (int i = 0; i < count; ++i) close(files[i]);
  free(files);
  close(epoll);
}

int main(int argc, char** argv) {
  if (argc < 2 || chdir(argv[1]) != 0) return 2;
  if (argc > 2) prefix = argv[2];
  if (wanted("threads")) {
    for (int count = 1; count <= 1000; count *= 10) with_threads(count);
    with_threads(2000);
  }
  if (wanted("processes")) {
    for (int count = 1; count <= 256; count *= 16) with_processes(count);
  }
  if (wanted("files")) {
    for (int count = 10; count <= 810; count *= 9) with_files(count);
  }
  return 0;
}
