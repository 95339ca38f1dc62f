// Forward propagation (PRML 5.48, 5.49):
//
//   z^l = W^l a^{l-1} + b^l,   a^l = h_l(z^l),   a^0 = x,
//
// and with it, where derivatives follow, h'(z^l) and h''(z^l). The output layer keeps z^L.
#pragma once

#include "mlpcore/activation.hpp"
#include "product.hpp"
#include "tile.hpp"

namespace mlpcore::MLPCORE_ISA {

// Where h' and h'' go: as many rows as there are units, in the order of the activations; a null
// pointer means not wanted.
template <class T> struct Slopes {
    T* d1 = nullptr;
    T* d2 = nullptr;
    const T* d1_of(const Layer& l, index stride) const { return d1 + l.row * stride; }
    const T* d2_of(const Layer& l, index stride) const { return d2 + l.row * stride; }
};

namespace detail {
template <int Order, class T>
MLPCORE_INLINE void store_jet(const Jet<T>& jet, index i, T* a, T* d1, T* d2) {
    store(a + i, jet.a);
    if constexpr (Order >= 1) {
        store(d1 + i, jet.d1);
    }
    if constexpr (Order >= 2) {
        store(d2 + i, jet.d2);
    }
}

// Vectors at a time, for the formulas are long chains of operations each of which waits for the one
// before (a tanh through exp on Zen 3: 2.2 ns a number one by one, 1.9 by two, 1.7 by four).
inline constexpr index at_a_time = 4;

// z becomes a = h(z), where the formula is in one piece.
template <int Order, class H, class T>
inline void activate_at_once(index count, T* z, T* d1, T* d2) {
    index i = 0;
    for (; i + at_a_time * lanes<T> <= count; i += at_a_time * lanes<T>) {
        Jet<T> jets[at_a_time];
#pragma GCC unroll 8
        for (index u = 0; u < at_a_time; ++u) {
            jets[u] = H::template at<T>(load(z + i + u * lanes<T>));
        }
#pragma GCC unroll 8
        for (index u = 0; u < at_a_time; ++u) {
            store_jet<Order>(jets[u], i + u * lanes<T>, z, d1, d2);
        }
    }
    for (; i < count; i += lanes<T>) {
        store_jet<Order>(H::template at<T>(load(z + i)), i, z, d1, d2);
    }
}

// The same of a formula in two halves: the first of some vectors beside the second of those before,
// or a core can't look far enough ahead to keep busy.
template <int Order, class H, class T>
inline void activate_by_halves(index count, T* z, T* d1, T* d2) {
    using Half = decltype(H::template begin<T>(Vec<T>{}));
    constexpr index step = at_a_time * lanes<T>;
    Half even[at_a_time], odd[at_a_time];
    const auto begin = [&](index i, Half* halves) __attribute__((always_inline)) {
#pragma GCC unroll 8
        for (index u = 0; u < at_a_time; ++u) {
            halves[u] = H::template begin<T>(load(z + i + u * lanes<T>));
        }
        // They are to lie in memory: the compiler would run out of registers.
        asm volatile("" : : "r"(halves) : "memory");
    };
    const auto end_of_one = [&](index i, const Half& half) __attribute__((always_inline)) {
        store_jet<Order>(H::template end<T>(load(z + i), half), i, z, d1, d2);
    };
    const auto end = [&](index i, const Half* halves) __attribute__((always_inline)) {
#pragma GCC unroll 8
        for (index u = 0; u < at_a_time; ++u) {
            end_of_one(i + u * lanes<T>, halves[u]);
        }
    };
    index i = 0;
    if (count >= step) {
        begin(0, even);
        for (i = step; i + 2 * step <= count; i += 2 * step) {
            begin(i, odd);
            end(i - step, even);
            begin(i + step, even);
            end(i, odd);
        }
        const bool another = i + step <= count;
        if (another) {
            begin(i, odd);
        }
        end(i - step, even);
        if (another) {
            end(i, odd);
            i += step;
        }
    }
    for (; i < count; i += lanes<T>) {
        end_of_one(i, H::template begin<T>(load(z + i)));
    }
}

template <int Order, class H, class T>
MLPCORE_INLINE void activate(index count, T* z, T* d1, T* d2) {
    if constexpr (requires { H::template begin<T>(Vec<T>{}); }) {
        activate_by_halves<Order, H>(count, z, d1, d2);
    } else {
        activate_at_once<Order, H>(count, z, d1, d2);
    }
}

// Adds the bias, then turns whole rows of z into activations.
template <class T> struct Activate {
    const T* bias;
    T *a, *d1, *d2;
    index stride;
    Activation h;
    bool last;
    MLPCORE_INLINE Vec<T> start(index i) const { return broadcast(bias[i]); }
    MLPCORE_INLINE void finish(index i, index column, Vec<T> z) const {
        store(a + i * stride + column, z);
    }
    T* place(index i, index column) const { return a + i * stride + column; }
    void finish_rows(index first, index count) const {
        if (last) {
            return;
        }
        const index from = first * stride, size = count * stride;
        with_activation(h, [&](auto formulas) {
            using H = decltype(formulas);
            if (d1 == nullptr) {
                activate<0, H>(size, a + from, d1, d2);
            } else if (d2 == nullptr) {
                activate<1, H>(size, a + from, d1 + from, d2);
            } else {
                activate<2, H>(size, a + from, d1 + from, d2 + from);
            }
        });
    }
};
} // namespace detail

// From the inputs in the tile through some of the layers.
template <class T>
inline void forward_pass(const NetworkView& net, const T* w, const Slopes<T>& slopes,
                         const Tile<T>& tile, index layers) {
    for (const Layer* l = net.layers; l < net.layers + layers; ++l) {
        const index at = l->row * tile.stride;
        const detail::Activate<T> epilogue{.bias = w + l->biases,
                                           .a = tile.activations(*l),
                                           .d1 = slopes.d1 ? slopes.d1 + at : nullptr,
                                           .d2 = slopes.d2 ? slopes.d2 + at : nullptr,
                                           .stride = tile.stride,
                                           .h = l->h,
                                           .last = l + 1 == net.layers + net.depth};
        product(l->n_out, l->n_in, tile.stride, Plain<T>{w + l->weights, l->n_in},
                tile.activations_below(*l), tile.stride, epilogue);
    }
}

// From the inputs in the tile to the logits z^L.
template <class T>
inline void forward_pass(const NetworkView& net, const T* w, const Slopes<T>& slopes,
                         const Tile<T>& tile) {
    forward_pass(net, w, slopes, tile, net.depth);
}

} // namespace mlpcore::MLPCORE_ISA
