// The methods: each runs from `at`, which has been evaluated, until the course says that it has
// ended, and leaves there the lowest point that it found. Each file names its paper.
#pragma once

#include "optim/course.hpp"
#include "optim/lbfgs.hpp"

namespace mlpcore {

// The factor of conjugate gradients.
enum class Conjugacy { polak_ribiere, hestenes_stiefel };
inline constexpr std::array conjugacy_names{std::string_view{"polak_ribiere"},
                                            std::string_view{"hestenes_stiefel"}};

template <class T>
void run_lm(Objective<T>& objective, Point<T>& at, bool acceleration, Course<T>& course);

template <class T>
void run_scg(Objective<T>& objective, Point<T>& at, ProductKind kind, Course<T>& course);

template <class T>
void run_newton_cg(Objective<T>& objective, Point<T>& at, ProductKind kind, Course<T>& course);

template <class T> void run_gd(Objective<T>& objective, Point<T>& at, Course<T>& course);

template <class T>
void run_cg(Objective<T>& objective, Point<T>& at, Conjugacy conjugacy, Course<T>& course);

template <class T> void run_bfgs(Objective<T>& objective, Point<T>& at, Course<T>& course);

template <class T>
void run_lbfgs(Objective<T>& objective, Point<T>& at, LbfgsMemory<T>& memory, Course<T>& course);

} // namespace mlpcore
