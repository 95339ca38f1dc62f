// How a long computation learns that it should stop.
#pragma once

#include <chrono>
#include <exception>

#if defined(__linux__)
#include <time.h>
#endif

namespace mlpcore {

// Thrown on the calling thread by a computation that was asked to stop.
class Interrupted : public std::exception {
  public:
    const char* what() const noexcept override { return "interrupted"; }
};

// Exact to some milliseconds, for the exact clock takes 25 ns: a training of a tiny network looks
// at it twice a microsecond.
inline std::chrono::nanoseconds coarse_clock() {
#if defined(__linux__)
    timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
#else
    return std::chrono::steady_clock::now().time_since_epoch();
#endif
}

// The caller's answer to "shall I stop?". Asked on the calling thread alone, and seldom.
class Interrupt {
  public:
    virtual ~Interrupt() = default;

    // Asks, unless the last question is less than a tenth of a second old.
    bool requested() {
        const auto now = coarse_clock();
        if (now < next_) {
            return false;
        }
        next_ = now + std::chrono::milliseconds(100);
        return ask();
    }

  protected:
    virtual bool ask() = 0;

  private:
    std::chrono::nanoseconds next_ = coarse_clock() + std::chrono::milliseconds(100);
};

// A place where a computation may end; null means that nobody asks.
inline void stop_if_requested(Interrupt* interrupt) {
    if (interrupt != nullptr && interrupt->requested()) {
        throw Interrupted();
    }
}

} // namespace mlpcore
