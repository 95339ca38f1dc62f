// Threads: how many, and a loop over independent pieces of work.
//
// Which thread does which piece never changes a result, because a piece writes to a place of its
// own and the places are summed in order; so every number of threads gives the same bits.
#pragma once

#include <cstddef>
#include <memory>

#include "mlpcore/interrupt.hpp"

namespace mlpcore {

using index = std::ptrdiff_t;

// What set_max_threads said, else what OpenMP would use (OMP_NUM_THREADS, threadpoolctl, the CPUs
// of the process), or the CPUs of the machine where it was built without OpenMP.
int max_threads();
// 0 goes back to that number.
void set_max_threads(int n);
int chosen_threads(); // what set_max_threads said
bool has_openmp();

namespace detail {
// A reference to something callable with an index; cheaper than std::function.
class Body {
  public:
    template <class F>
    explicit Body(const F& f)
        : object_(std::addressof(f)),
          call_([](const void* object, index i) { (*static_cast<const F*>(object))(i); }) {}
    void operator()(index i) const { call_(object_, i); }

  private:
    const void* object_;
    void (*call_)(const void*, index);
};
void parallel_for(index count, int threads, Body body, Interrupt* interrupt);
} // namespace detail

// Calls body(i) for each i < count, on up to `threads` threads, the calling one among them. Inside
// of another parallel_for it runs on the calling thread alone; where other threads have called as
// well, each counts as one of max_threads(). What a body throws ends the loop, with some of the
// pieces undone, and is thrown again here; so is Interrupted when `interrupt` (may be null) says
// so.
template <class F> void parallel_for(index count, int threads, Interrupt* interrupt,
                                     const F& body) {
    detail::parallel_for(count, threads, detail::Body(body), interrupt);
}

} // namespace mlpcore
