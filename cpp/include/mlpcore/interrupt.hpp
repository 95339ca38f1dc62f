// How a long computation learns that it should stop.
#pragma once

#include <chrono>
#include <exception>

namespace mlpcore {

// Thrown on the calling thread by a computation that was asked to stop.
class Interrupted : public std::exception {
  public:
    const char* what() const noexcept override { return "interrupted"; }
};

// The caller's answer to "shall I stop?". Asked on the calling thread alone, and seldom.
class Interrupt {
  public:
    virtual ~Interrupt() = default;

    // Asks, unless the last question is less than a tenth of a second old.
    bool requested() {
        const auto now = std::chrono::steady_clock::now();
        if (now < next_) {
            return false;
        }
        next_ = now + std::chrono::milliseconds(100);
        return ask();
    }

  protected:
    virtual bool ask() = 0;

  private:
    std::chrono::steady_clock::time_point next_ =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
};

// A place where a computation may end; null means that nobody asks.
inline void stop_if_requested(Interrupt* interrupt) {
    if (interrupt != nullptr && interrupt->requested()) {
        throw Interrupted();
    }
}

} // namespace mlpcore
