// The program of the image hello-world. It needs no C library: it writes one text and ends, so that
// the image is a few kilobytes and tells nothing but whether an engine can run a container.

namespace {

constexpr char text[] = R"(
Hello from your swarm lab!
This message shows that your installation appears to be working correctly.

To generate this message, these steps were taken:
 1. The docker client contacted the engine on this machine.
 2. The engine pulled the "hello-world" image from the lab's image mirror,
    unless it had it already.
 3. The engine created a new container from that image, which runs the
    executable that produces the output you are currently reading.
 4. The engine streamed that output to the client, which sent it to your
    terminal.

To try something more ambitious, you can run a Debian container with:
 $ docker run -it debian bash

)";

long system_call(long number, long first, long second, long third) {
#if defined(__x86_64__)
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(first), "S"(second), "d"(third)
               : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 asm("x8") = number;
  register long x0 asm("x0") = first;
  register long x1 asm("x1") = second;
  register long x2 asm("x2") = third;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
#else
#error "hello-world has no system call sequence for this processor"
#endif
}

#if defined(__x86_64__)
constexpr long call_write = 1;
constexpr long call_exit = 60;
#else
constexpr long call_write = 64;
constexpr long call_exit = 93;
#endif

}  // namespace

extern "C" [[noreturn]] void _start() {
  const char* rest = text;
  long left = sizeof text - 1;
  while (left > 0) {
    const long written = system_call(call_write, 1, reinterpret_cast<long>(rest), left);
    if (written <= 0) break;
    rest += written;
    left -= written;
  }
  for (;;) system_call(call_exit, left > 0 ? 1 : 0, 0, 0);
}
