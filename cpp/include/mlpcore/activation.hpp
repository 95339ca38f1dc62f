// The activations of the hidden units: name, h, h' and h'' of each, side by side.
//
// To add one, add its line to the list and its formulas below (and its oracle to
// python/mlpcore/reference.py); nothing else knows how many there are.
#pragma once

#include <array>
#include <string_view>

#define MLPCORE_ACTIVATIONS(X)                                                                     \
    X(identity, Identity)                                                                          \
    X(sigmoid, Sigmoid)                                                                            \
    X(tanh, Tanh)                                                                                  \
    X(relu, Relu)                                                                                  \
    X(leaky_relu, LeakyRelu)                                                                       \
    X(softplus, Softplus)                                                                          \
    X(elu, Elu)                                                                                    \
    X(gelu, Gelu)                                                                                  \
    X(silu, Silu)

namespace mlpcore {

enum class Activation {
#define MLPCORE_ENUMERATOR(name, Type) name,
    MLPCORE_ACTIVATIONS(MLPCORE_ENUMERATOR)
#undef MLPCORE_ENUMERATOR
};

inline constexpr std::array activation_names{
#define MLPCORE_NAME(name, Type) std::string_view{#name},
    MLPCORE_ACTIVATIONS(MLPCORE_NAME)
#undef MLPCORE_NAME
};

} // namespace mlpcore

#ifdef MLPCORE_ISA // the formulas are for kernels alone

#include "kernels/elementary.hpp"

namespace mlpcore::MLPCORE_ISA {

// a = h(z), d1 = h'(z), d2 = h''(z). A formula fills what its Order asks for; what is not asked
// for is dead code to the compiler. A long one comes in two halves: what `begin` makes of z, `end`
// makes the rest of.
template <class T> struct Jet {
    Vec<T> a, d1, d2;
};

struct Identity {
    template <class T> static MLPCORE_INLINE Jet<T> at(Vec<T> z) {
        return {z, broadcast(T(1)), Vec<T>{}};
    }
};

struct Sigmoid { // PRML 4.59, 4.88
    template <class T> static MLPCORE_INLINE Vec<T> begin(Vec<T> z) { return logistic_begin<T>(z); }
    template <class T> static MLPCORE_INLINE Jet<T> end(Vec<T> z, Vec<T> half) {
        const Logistic<T> s = logistic_end<T>(z, half);
        return {s.value, s.slope, s.slope * (T(1) - T(2) * s.value)};
    }
};

struct Tanh { // PRML 5.59, 5.60
    template <class T> static MLPCORE_INLINE HalfTanh<T> begin(Vec<T> z) {
        return tanh_begin<T>(z);
    }
    template <class T> static MLPCORE_INLINE Jet<T> end(Vec<T> z, const HalfTanh<T>& half) {
        const Vec<T> a = tanh_end<T>(z, half);
        const Vec<T> d1 = T(1) - a * a;
        return {a, d1, T(-2) * a * d1};
    }
};

struct Relu { // h'(0) = 0, h'' = 0
    template <class T> static MLPCORE_INLINE Jet<T> at(Vec<T> z) {
        const IntVec<T> off = z <= Vec<T>{};
        return {select<T>(off, Vec<T>{}, z), select<T>(off, Vec<T>{}, broadcast(T(1))), Vec<T>{}};
    }
};

struct LeakyRelu { // slope 0.01 below 0; h'(0) = 0.01, h'' = 0
    template <class T> static MLPCORE_INLINE Jet<T> at(Vec<T> z) {
        const IntVec<T> off = z <= Vec<T>{};
        return {select<T>(off, T(0.01) * z, z), select<T>(off, broadcast(T(0.01)), broadcast(T(1))),
                Vec<T>{}};
    }
};

struct Softplus { // log(1 + e^z); h' is the logistic sigmoid
    template <class T> static MLPCORE_INLINE Vec<T> begin(Vec<T> z) { return logistic_begin<T>(z); }
    template <class T> static MLPCORE_INLINE Jet<T> end(Vec<T> z, Vec<T> half) {
        const Logistic<T> s = logistic_end<T>(z, half);
        return {softplus<T>(z, half), s.value, s.slope};
    }
};

struct Elu { // z above 0, e^z - 1 up to it; h'(0) = 1, h''(0) = 1
    template <class T> static MLPCORE_INLINE Jet<T> at(Vec<T> z) {
        const IntVec<T> on = z > Vec<T>{};
        const Vec<T> e = exp_nonpositive<T>(minimum<T>(z, Vec<T>{}));
        const Vec<T> em1 = expm1_nonpositive<T>(minimum<T>(z, Vec<T>{}));
        return {select<T>(on, z, em1), select<T>(on, broadcast(T(1)), e),
                select<T>(on, Vec<T>{}, e)};
    }
};

// z, but no further out than where all that it is multiplied by is 0 already: 0 times infinity is
// not 0, and a square must not overflow.
template <class T> struct Bounded {
    static constexpr T far = sizeof(T) == 8 ? T(1024) : T(128);
    Vec<T> below, both;
    static MLPCORE_INLINE Bounded of(Vec<T> z) {
        const Vec<T> below = maximum<T>(z, broadcast(-far));
        return {below, minimum<T>(below, broadcast(far))};
    }
};

struct Gelu { // z Phi(z), exact (Hendrycks and Gimpel, 2016)
    template <class T> static MLPCORE_INLINE Jet<T> at(Vec<T> z) {
        const Normal<T> n = normal<T>(z);
        const auto b = Bounded<T>::of(z);
        return {b.below * n.distribution, n.distribution + b.both * n.density,
                n.density * (T(2) - b.both * b.both)};
    }
};

struct Silu { // z sigmoid(z)
    template <class T> static MLPCORE_INLINE Vec<T> begin(Vec<T> z) { return logistic_begin<T>(z); }
    template <class T> static MLPCORE_INLINE Jet<T> end(Vec<T> z, Vec<T> half) {
        const Jet<T> s = Sigmoid::end<T>(z, half);
        const auto b = Bounded<T>::of(z);
        return {b.below * s.a, s.a + b.both * s.d1, T(2) * s.d1 + b.both * s.d2};
    }
};

// Calls f with the formulas of h.
template <class F> MLPCORE_INLINE void with_activation(Activation h, F&& f) {
    switch (h) {
#define MLPCORE_CASE(name, Type)                                                                   \
    case Activation::name:                                                                         \
        return f(Type{}); /* NOLINT(bugprone-macro-parentheses) */
        MLPCORE_ACTIVATIONS(MLPCORE_CASE)
#undef MLPCORE_CASE
    }
}

} // namespace mlpcore::MLPCORE_ISA

#endif
