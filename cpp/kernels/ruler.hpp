// The ruler of the benchmark: multiply-adds that wait for nothing but each other. Their rate is
// what this instruction set can do at most on this machine, and what the passes are measured by.
#pragma once

#include "simd.hpp"

namespace mlpcore::MLPCORE_ISA {

// A chain is a register x that becomes x / 2 + 1 over and over. Each step waits for the one before,
// so it takes (latency x units) chains, 8 to 10 on the CPUs of today, to keep the units busy; 12
// chains and their two constants still fit into 16 registers.
inline constexpr int ruler_chains = 12;

// Multiply-adds of single numbers in a round.
template <class T> inline constexpr index ruler_width = ruler_chains * lanes<T>;

// The sum of the chains, so that none can be left out.
template <class T> inline T ruler(index rounds, T start) {
    Vec<T> x[ruler_chains];
    for (int c = 0; c < ruler_chains; ++c) {
        x[c] = broadcast(start + static_cast<T>(c)); // all different: equal ones could be merged
    }
    const Vec<T> half = broadcast(T(0.5)), one = broadcast(T(1));
    for (index i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
        for (int c = 0; c < ruler_chains; ++c) {
            x[c] = x[c] * half + one;
        }
    }
    Vec<T> total = {};
    for (int c = 0; c < ruler_chains; ++c) {
        total += x[c];
    }
    return sum<T>(total);
}

} // namespace mlpcore::MLPCORE_ISA
