// Scratch memory: each thread has two blocks, one for the pass that it runs and one for the sums or
// the tiles of the pieces that it handed out. They grow to what is asked of them and are used again
// by the next call, for fresh memory costs a page fault for every 4 KiB.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace mlpcore {

class Workspace {
  public:
    // The calling thread's own.
    static Workspace& of_pass() {
        thread_local Workspace workspace;
        return workspace;
    }
    static Workspace& of_sums() {
        thread_local Workspace workspace;
        return workspace;
    }

    // At least `count` numbers, aligned to a cache line, with any content; valid until the next
    // call on this thread.
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

  private:
    static constexpr std::align_val_t alignment{64};
    struct Free {
        void operator()(std::byte* p) const { ::operator delete(p, alignment); }
    };
    std::unique_ptr<std::byte, Free> block_;
    std::size_t size_ = 0;
};

} // namespace mlpcore
