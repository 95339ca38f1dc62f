// Symmetric matrices of which the upper triangle has been computed.
#pragma once

#include "simd.hpp"

namespace mlpcore::MLPCORE_ISA {

// a (n, n): the columns [first, end) of the upper triangle become the same rows of the lower one.
// By squares of lanes x lanes, which are turned in registers.
template <class T> inline void mirror(index n, index first, index end, T* a) {
    constexpr index L = lanes<T>;
    for (index c = first; c < end; c += L) {
        const index columns = end - c < L ? end - c : L;
        index r = 0;
        for (; columns == L && r + L <= c; r += L) {
            Vec<T> block[L];
#pragma GCC unroll 16
            for (index i = 0; i < L; ++i) {
                block[i] = load(a + (r + i) * n + c);
            }
            transpose<T>(block);
#pragma GCC unroll 16
            for (index i = 0; i < L; ++i) {
                store(a + (c + i) * n + r, block[i]);
            }
        }
        for (; r < c + columns; ++r) {
            for (index i = r < c ? 0 : r - c + 1; i < columns; ++i) {
                a[(c + i) * n + r] = a[r * n + c + i];
            }
        }
    }
}

} // namespace mlpcore::MLPCORE_ISA
