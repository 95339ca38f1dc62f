// The generator that shuffles: xoshiro256** (Blackman and Vigna, 2018) seeded by SplitMix64, so
// that a seed means the same order on every machine.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace mlpcore {

class Random {
  public:
    explicit Random(std::uint64_t seed) {
        for (std::uint64_t& word : state_) { // SplitMix64
            seed += 0x9e3779b97f4a7c15U;
            std::uint64_t x = seed;
            x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
            x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
            word = x ^ (x >> 31);
        }
    }

    std::array<std::uint64_t, 4>& state() { return state_; }

    std::uint64_t next() {
        const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
        const std::uint64_t t = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= t;
        state_[3] = std::rotl(state_[3], 45);
        return result;
    }

    // Uniform on 0 ... n - 1: the next number below the largest multiple of n, modulo n.
    std::uint64_t below(std::uint64_t n) {
        const std::uint64_t beyond = UINT64_MAX - UINT64_MAX % n;
        std::uint64_t x = next();
        while (x >= beyond) {
            x = next();
        }
        return x % n;
    }

    // Fisher and Yates, from the last element down.
    void shuffle(std::span<std::ptrdiff_t> order) {
        for (std::size_t i = order.size(); i > 1; --i) {
            std::swap(order[i - 1], order[below(i)]);
        }
    }

  private:
    std::array<std::uint64_t, 4> state_;
};

} // namespace mlpcore
