// Fitting the networks of an ensemble side by side, one a thread, so that Ctrl-C reaches all.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include "mlpcore/interrupt.hpp"
#include "mlpcore/parallel.hpp"
#include "optim/penalty.hpp"

namespace mlpcore {

// Only the calling thread may ask its caller whether to stop; it tells the others.
class MemberInterrupt : public Interrupt {
  public:
    MemberInterrupt(Interrupt& of_caller, std::thread::id caller, std::atomic<bool>& stop)
        : of_caller_(of_caller), caller_(caller), stop_(stop) {}

  protected:
    bool ask() override {
        if (std::this_thread::get_id() == caller_ && of_caller_.requested()) {
            stop_.store(true);
        }
        return stop_.load();
    }

  private:
    Interrupt& of_caller_;
    std::thread::id caller_;
    std::atomic<bool>& stop_;
};

// Calls fit(s, interrupt) for each member, which answers whether it was interrupted. A fit ends
// early, and those to come are left out, when `interrupt` says so or another was interrupted. A
// single member, and those with a penalty of the caller, which come one after the other, have all
// threads for their passes.
template <class T, class Fit>
void fit_members(index size, const Penalty<T>* penalty, Interrupt& interrupt, const Fit& fit) {
    std::atomic<bool> stop{false};
    std::mutex failing;
    std::exception_ptr failure; // it stops the others, whom nobody interrupted
    const std::thread::id caller = std::this_thread::get_id();
    const auto body = [&](index s) {
        MemberInterrupt own(interrupt, caller, stop);
        try {
            if (fit(s, own)) {
                stop.store(true);
            }
        } catch (const Interrupted&) {
            throw;
        } catch (...) { // no memory, say
            const std::lock_guard<std::mutex> lock(failing);
            if (!failure) {
                failure = std::current_exception();
            }
            stop.store(true);
            throw;
        }
    };
    if (size == 1 || (penalty != nullptr && penalty->is_of_caller())) {
        for (index s = 0; s < size && !stop.load(); ++s) {
            body(s);
        }
        return;
    }
    MemberInterrupt own(interrupt, caller, stop);
    try {
        // An iteration is worth a thread, even where a pass is not.
        parallel_for(size, max_threads(), &own, body);
    } catch (const Interrupted&) {
        stop.store(true); // what the members report tells who was interrupted
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

} // namespace mlpcore
