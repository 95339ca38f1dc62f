#include "mlpcore/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#ifdef MLPCORE_OPENMP
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace mlpcore {

namespace {

std::atomic<int> chosen{0};
std::atomic<int> forks{0};   // how many forks this process descends from
std::atomic<int> callers{0}; // threads that are within a parallel_for that may have helpers
thread_local bool inside_parallel_for = false, is_counted = false;

void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

struct Job {
    index count;
    detail::Body body;
    std::atomic<index> next{0};
    std::atomic<int> seats;
    std::atomic<bool> stopped{false};
    std::exception_ptr failure{}; // of whoever set `stopped`; read when all are done

    void work(Interrupt* interrupt) {
        inside_parallel_for = true;
        try {
            while (!stopped.load(std::memory_order_relaxed)) {
                const index i = next.fetch_add(1, std::memory_order_relaxed);
                if (i >= count) {
                    break;
                }
                body(i);
                stop_if_requested(interrupt);
            }
        } catch (...) {
            fail(std::current_exception());
        }
        inside_parallel_for = false;
    }
    void fail(std::exception_ptr reason) {
        if (!stopped.exchange(true)) {
            failure = std::move(reason);
        }
    }
};

// Threads that wait for jobs: awake for a moment after each, so that the next one of a training
// loop finds them within a microsecond, then asleep.
class Pool {
  public:
    // In a child of fork(), which has none of these threads, and locks in any state: it starts
    // anew.
    static void begin_in_child() {
        current.store(nullptr);
        callers.store(is_counted ? 1 : 0);
        forks.fetch_add(1);
    }

    // Never destroyed: its threads may still be asleep when the process ends.
    static Pool& instance() {
        Pool* pool = current.load();
        if (pool == nullptr) {
            Pool* const fresh = new Pool;
            if (current.compare_exchange_strong(pool, fresh)) {
                pool = fresh;
            } else {
                delete fresh;
            }
        }
        return *pool;
    }

    // Runs the job on this thread and up to `helpers` others; alone if the pool is in use, or if
    // there is but one CPU.
    void run(Job& job, int helpers, Interrupt* interrupt) {
        const std::unique_lock<std::mutex> lock(in_use_, std::try_to_lock);
        if (!lock.owns_lock() || helpers < 1) {
            job.work(interrupt);
            return;
        }
        helpers = place_helpers(helpers);
        if (helpers < 1) {
            job.work(interrupt);
            return;
        }
        const int forks_before = forks.load();
        job.seats.store(helpers);
        job_.store(&job);
        generation_.fetch_add(1);
        if (asleep_.load() > 0) {
            generation_.notify_all();
        }
        job.work(interrupt);
        job_.store(nullptr);
        // Whoever took the job before it was withdrawn is counted in busy_.
        inside_parallel_for = true; // for what a signal handler computes
        while (busy_.load() > 0) {
            if (forks.load() != forks_before) { // by a signal handler; the helpers stayed behind
                inside_parallel_for = false;
                throw std::runtime_error("the process was forked inside of a computation");
            }
            // Not once more after an answer, for the exception is pending.
            if (interrupt != nullptr && !job.stopped.load() && interrupt->requested()) {
                job.fail(std::make_exception_ptr(Interrupted()));
            }
            pause_briefly();
        }
        inside_parallel_for = false;
    }

  private:
    static std::atomic<Pool*> current;

    Pool() {
#if defined(__unix__) || defined(__APPLE__)
        static const int registered =
            pthread_atfork(nullptr, nullptr, [] { Pool::begin_in_child(); });
        static_cast<void>(registered);
#endif
    }

    // A thread that wakes is often put beside the one that woke it; then both share a CPU for
    // milliseconds while another is idle. So the helpers may use what the caller may use but for
    // the CPU that it is on. Returns how many helpers there may be: none if that leaves no CPU, and
    // one for each CPU unless the caller chose a number.
    int place_helpers(int helpers) {
#if defined(__linux__)
        // To ask where the caller may run takes as long as a small job; it seldom changes.
        constexpr std::chrono::milliseconds trusted{10};
        const int cpu = sched_getcpu();
        const auto now = std::chrono::steady_clock::now();
        cpu_set_t allowed = places_;
        if (cpu != left_cpu_ || now >= ask_again_) {
            if (cpu < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
                grow(helpers);
                return helpers;
            }
            CPU_CLR(static_cast<unsigned>(cpu), &allowed);
            left_cpu_ = cpu;
            ask_again_ = now + trusted;
        }
        const int cpus = CPU_COUNT(&allowed);
        if (cpus == 0) {
            places_ = allowed;
            return 0;
        }
        if (chosen_threads() == 0) {
            helpers = std::min(helpers, cpus);
        }
        grow(helpers);
        if (placed_ == threads_.size() && CPU_EQUAL(&allowed, &places_)) {
            return helpers;
        }
        for (const pthread_t thread : threads_) {
            pthread_setaffinity_np(thread, sizeof allowed, &allowed);
        }
        places_ = allowed;
        placed_ = threads_.size();
#else
        grow(helpers);
#endif
        return helpers;
    }

    void grow(int helpers) {
        try {
            while (static_cast<int>(threads_.size()) < helpers) {
                std::thread thread([this] { serve(); });
                threads_.push_back(thread.native_handle());
                thread.detach();
            }
        } catch (const std::system_error&) {
            // The system gives no more threads: fewer do the work.
            return;
        }
    }

    void serve() {
        using Clock = std::chrono::steady_clock;
        std::uint32_t seen = 0;
        while (true) {
            busy_.fetch_add(1);
            if (Job* const job = job_.load(); job != nullptr) {
                if (job->seats.fetch_sub(1) > 0) {
                    job->work(nullptr);
                }
            }
            busy_.fetch_sub(1);
            const auto awake_until = Clock::now() + std::chrono::microseconds(100);
            for (int i = 1; generation_.load() == seen; ++i) {
                if (i % 64 == 0 && Clock::now() > awake_until) {
                    asleep_.fetch_add(1);
                    generation_.wait(seen);
                    asleep_.fetch_sub(1);
                    break;
                }
                pause_briefly();
            }
            seen = generation_.load();
        }
    }

    std::mutex in_use_;
    std::atomic<Job*> job_{nullptr};
    std::atomic<std::uint32_t> generation_{0};
    std::atomic<int> asleep_{0}, busy_{0};
    std::vector<std::thread::native_handle_type> threads_;
    std::size_t placed_ = 0; // so many of them have their places
#if defined(__linux__)
    cpu_set_t places_{};
    int left_cpu_ = -1; // by the caller, when it was asked where it may run
    std::chrono::steady_clock::time_point ask_again_{};
#endif
};

// A caller is a thread at work already.
class Calling {
  public:
    Calling() : others_(callers.fetch_add(1)) { is_counted = true; }
    ~Calling() {
        is_counted = false;
        callers.fetch_sub(1);
    }
    Calling(const Calling&) = delete;
    Calling& operator=(const Calling&) = delete;
    int others() const { return others_; }

  private:
    const int others_;
};

std::atomic<Pool*> Pool::current{nullptr};

} // namespace

int max_threads() {
    if (const int n = chosen_threads(); n > 0) {
        return n;
    }
#ifdef MLPCORE_OPENMP
    return omp_get_max_threads();
#else
    static const int cpus = static_cast<int>(std::thread::hardware_concurrency());
    return cpus > 0 ? cpus : 1;
#endif
}

void set_max_threads(int n) { chosen.store(n); }

int chosen_threads() { return chosen.load(std::memory_order_relaxed); }

bool has_openmp() {
#ifdef MLPCORE_OPENMP
    return true;
#else
    return false;
#endif
}

void detail::parallel_for(index count, int threads, Body body, Interrupt* interrupt) {
    if (count <= 0) {
        return;
    }
    Job job{.count = count, .body = body, .seats = 0};
    if (inside_parallel_for) {
        for (index i = 0; i < count; ++i) {
            body(i);
            stop_if_requested(interrupt);
        }
        return;
    }
    if (threads <= 1 || count <= 1) {
        job.work(interrupt);
    } else {
        Pool& pool = Pool::instance();
        const Calling calling;
        const index helpers = std::min<index>(std::min<index>(threads, count) - 1,
                                              max_threads() - 1 - calling.others());
        pool.run(job, static_cast<int>(helpers), interrupt);
    }
    if (job.failure) {
        std::rethrow_exception(job.failure);
    }
}

} // namespace mlpcore
