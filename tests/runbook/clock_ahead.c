/* Loaded before libc: the wall clock of the process is ahead by as many seconds as the file that CLOCK_AHEAD names says, in
 * 8 bytes. No other process's clock changes, and neither does the clock that durations are measured by. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static volatile long *ahead;
static int (*of_libc)(clockid_t, struct timespec *);

__attribute__((constructor)) static void open_ahead(void) {
  const char *path = getenv("CLOCK_AHEAD");
  int file = path ? open(path, O_RDONLY) : -1;
  void *mapped = file < 0 ? MAP_FAILED : mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
  of_libc = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  if (mapped != MAP_FAILED) ahead = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  if (!of_libc) of_libc = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = of_libc(clock, now);
  if (!result && clock == CLOCK_REALTIME && ahead) now->tv_sec += *ahead;
  return result;
}
