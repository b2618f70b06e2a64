// The first process of a container started with `--init`: runs the command as its child, passes
// signals on to it, reaps whatever is left to it, and ends with the command's status.
//
// docker-init -- PROGRAM [ARGUMENT...]
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

namespace {

constexpr int not_found_status = 127;
constexpr int not_runnable_status = 126;
// A process ended by signal N has the status 128 + N, as shells say it.
constexpr int signal_status_base = 128;

// Replaces this process; returns only on failure.
[[noreturn]] void run(char** words, const sigset_t& signals) {
  // A group of its own, in the foreground of the terminal if there is one.
  setpgid(0, 0);
  signal(SIGTTOU, SIG_IGN);
  tcsetpgrp(STDIN_FILENO, getpgrp());
  signal(SIGTTOU, SIG_DFL);
  sigprocmask(SIG_SETMASK, &signals, nullptr);
  execvp(words[0], words);
  const int status = errno == ENOENT ? not_found_status : not_runnable_status;
  dprintf(STDERR_FILENO, "docker-init: %s: %s\n", words[0], strerror(errno));
  _exit(status);
}

// Takes the statuses of all that have ended; the command's when it is among them, else -1.
int reap(pid_t command) {
  int result = -1;
  int status = 0;
  for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (pid != command) continue;
    result = WIFSIGNALED(status) ? signal_status_base + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return result;
}

}  // namespace

int main(int count, char** words) {
  int first = 1;
  if (count > 1 && strcmp(words[1], "--") == 0) first = 2;
  if (first >= count) {
    dprintf(STDERR_FILENO, "usage: docker-init -- PROGRAM [ARGUMENT...]\n");
    return not_found_status;
  }
  // Signals wait until they are taken below; none interrupts or ends this process.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  constexpr int not_passed_on[] = {SIGFPE,  SIGILL, SIGSEGV, SIGBUS, SIGABRT,
                                   SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU};
  for (const int number : not_passed_on) sigdelset(&all, number);
  sigprocmask(SIG_SETMASK, &all, &before);
  signal(SIGTTIN, SIG_IGN);
  signal(SIGTTOU, SIG_IGN);
  const pid_t command = fork();
  if (command < 0) {
    dprintf(STDERR_FILENO, "docker-init: starting a process: %s\n", strerror(errno));
    return not_runnable_status;
  }
  if (command == 0) run(words + first, before);
  for (;;) {
    siginfo_t info;
    const int taken = sigwaitinfo(&all, &info);
    if (taken < 0) continue;
    if (taken != SIGCHLD) {
      kill(command, taken);
      continue;
    }
    const int status = reap(command);
    if (status >= 0) return status;
  }
}
