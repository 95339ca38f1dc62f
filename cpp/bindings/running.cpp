#include "running.hpp"

#include <atomic>
#include <chrono>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace mlpcore::bindings {

namespace {

std::atomic<bool> exiting{false};
std::atomic<std::thread::id> exiting_thread{};
std::atomic<int> inside{0}; // threads within a WithoutGil, or several
std::atomic<int> parked{0}; // those of them that stay there
thread_local int depth = 0; // how often this one is: a signal handler may call us again

// In a child of fork() no other thread is left.
void forget_other_threads() {
#if defined(__unix__) || defined(__APPLE__)
    static const int registered = pthread_atfork(nullptr, nullptr, [] {
        inside.store(depth > 0 ? 1 : 0);
        parked.store(0);
    });
    static_cast<void>(registered);
#endif
}

void park_if_left_behind() {
    if (left_behind()) {
        parked.fetch_add(1);
        while (true) {
            std::this_thread::sleep_for(std::chrono::hours(1));
        }
    }
}

} // namespace

bool left_behind() { return exiting.load() && exiting_thread.load() != std::this_thread::get_id(); }

void prepare_exit() {
    exiting_thread.store(std::this_thread::get_id());
    exiting.store(true);
    const py::gil_scoped_release release;
    // A callback that does not return must not keep the process alive.
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (inside.load() > parked.load() && std::chrono::steady_clock::now() < patience) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

WithoutGil::WithoutGil() {
    forget_other_threads();
    inside.fetch_add(depth++ == 0 ? 1 : 0);
    state_ = PyEval_SaveThread();
    park_if_left_behind();
}

WithoutGil::~WithoutGil() {
    park_if_left_behind();
    PyEval_RestoreThread(state_);
    inside.fetch_sub(--depth == 0 ? 1 : 0);
}

} // namespace mlpcore::bindings
