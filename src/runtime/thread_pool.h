// The CPU's threads. Work is cut by the shape of the problem, never by the number of threads, so
// results do not depend on how many there are; threads claim the pieces as they come free.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace tegula {

// A borrowed callable: no allocation, valid while the callee runs.
template <class Signature>
class FunctionRef;
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>)
  FunctionRef(F&& f)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  R operator()(Args... args) const { return call_(object_, args...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

// Threads that compute, the caller of parallel_for included. The default comes from
// TEGULA_NUM_THREADS, else from the CPU affinity and the cgroup quota.
int num_threads();
// Throws ValueError unless 1 <= count <= 1024.
void set_num_threads(int count);

// Runs body(i) once for every i in [0, count); returns when all are done. The caller takes part;
// a nested call runs on the calling thread alone. The first exception by index is rethrown after
// every claimed piece has ended; pieces not yet claimed are then skipped.
// `microseconds` is about what the work takes one thread. Work too small to be worth handing over
// stays on the calling thread, and small work does not wake threads that sleep.
void parallel_for(int64_t count, FunctionRef<void(int64_t)> body, double microseconds = 1e9);

// Stops the workers (they start again on demand); used before fork and at exit.
void stop_threads();

}  // namespace tegula
