// Scratch memory: each thread has a block for the pass that it runs, and others for what it holds
// while it hands out pieces. They grow to what is asked of them and are used again by the next
// call, for fresh memory costs a page fault for every 4 KiB; but what is large is given back.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace mlpcore {

class Workspace {
  public:
    // The calling thread's own, for what no other pass begins within.
    static Workspace& of_pass() {
        thread_local Workspace workspace;
        return workspace;
    }

    // At least `count` numbers, aligned to a cache line, with any content; valid until the next
    // call.
    template <class T> T* take(std::ptrdiff_t count) {
        const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
        if (bytes > size_) {
            block_.reset();
            size_ = 0;
            block_.reset(static_cast<std::byte*>(::operator new(bytes, alignment)));
            size_ = bytes;
        }
        return reinterpret_cast<T*>(block_.get());
    }

    // Of one block.
    static constexpr std::size_t most_kept = std::size_t{64} << 20;
    void give_back_if_large() {
        if (size_ > most_kept) {
            block_.reset();
            size_ = 0;
        }
    }

  private:
    static constexpr std::align_val_t alignment{64};
    struct Free {
        void operator()(std::byte* p) const { ::operator delete(p, alignment); }
    };
    std::unique_ptr<std::byte, Free> block_;
    std::size_t size_ = 0;
};

// For one pass: the thread's block, or where that would grow large, memory that is given back.
class PassWorkspace {
  public:
    template <class T> T* take(std::ptrdiff_t count) {
        const bool keeps = static_cast<std::size_t>(count) <= Workspace::most_kept / sizeof(T);
        return (keeps ? Workspace::of_pass() : own_).take<T>(count);
    }

  private:
    Workspace own_;
};

// A thread's block of that name, held while pieces of work are handed out. In between signal
// handlers may run, and call us again from here: then the inner call has memory of its own.
enum class Holding { sums, tiles, vectors };
template <Holding Name> class HeldWorkspace {
  public:
    HeldWorkspace() : is_outer_(!kept().is_held) { kept().is_held = true; }
    ~HeldWorkspace() {
        Kept& mine = kept();
        if (is_outer_) {
            mine.workspace.give_back_if_large();
        }
        mine.is_held = !is_outer_;
    }
    HeldWorkspace(const HeldWorkspace&) = delete;
    HeldWorkspace& operator=(const HeldWorkspace&) = delete;

    template <class T> T* take(std::ptrdiff_t count) {
        return (is_outer_ ? kept().workspace : own_).template take<T>(count);
    }

  private:
    struct Kept {
        Workspace workspace;
        bool is_held = false;
    };
    static Kept& kept() {
        thread_local Kept kept;
        return kept;
    }

    const bool is_outer_;
    Workspace own_;
};

} // namespace mlpcore
