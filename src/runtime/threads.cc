#include "runtime/threads.h"

#include <pthread.h>
#include <signal.h>

#include <utility>

namespace tegula {
namespace {

// Blocks every signal but those a fault raises, on this thread for its lifetime; threads started
// meanwhile inherit that.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

std::thread start_thread(const char* name, std::function<void()> main) {
  const SignalsBlocked blocked;
  std::thread thread(std::move(main));
#ifdef __linux__
  pthread_setname_np(thread.native_handle(), name);
#else
  (void)name;
#endif
  return thread;
}

}  // namespace tegula
