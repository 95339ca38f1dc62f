// The line search of all methods that have one: a step along d that satisfies the strong Wolfe
// conditions (Nocedal and Wright, Numerical Optimization, 2006, Algorithms 3.5 and 3.6)
//
//     F(v + step d) <= F(v) + sufficient_decrease step g.d            (3.7a)
//     |dF(v + step d)/dstep| <= curvature |g.d|                       (3.7b)
//
// by extrapolation until the interval holds a minimum and cubic interpolation within it (3.59). A
// first step may also be so short that F changes by less than its rounding; where the slope is then
// still what it was, the way on is further out, not back.
#pragma once

#include <cmath>
#include <limits>
#include <utility>

#include "optim/objective.hpp"
#include "optim/vectors.hpp"

namespace mlpcore {

// The first step along d = -g of which nothing is known: no longer than `reach` (Shares).
inline double cautious_step(double slope, double reach) {
    return std::min(1.0, reach / std::sqrt(-slope));
}

// The first step for the change of first order that the step before had (the first choice of
// section 3.5 for one), if there was one.
inline double similar_step(double step_before, double slope_before, double slope, double reach) {
    const double step = step_before * slope_before / slope;
    return step > 0 && std::isfinite(step) ? step : cautious_step(slope, reach);
}

template <class T> class LineSearch {
  public:
    // Small `curvature` means an exact search, as conjugate gradients want it.
    LineSearch(Objective<T>& objective, double curvature)
        : objective_(objective), curvature_(curvature), trial_(objective.size()),
          low_(objective.size()) {}

    // Moves `at` along d, whose slope g.d is negative, and returns the step: to a point that
    // satisfies both conditions, or the best decrease found. 0 if nothing lower was found.
    double operator()(Point<T>& at, const std::vector<T>& d, double slope, double first_step) {
        start_ = {.step = 0, .value = at.value, .slope = slope};
        const double step = search(at, d, first_step);
        if (step != 0) {
            std::swap(at, low_);
        }
        return step;
    }

    // Where the last search that moved began.
    const Point<T>& previous() const { return low_; }

  private:
    static constexpr double sufficient_decrease = 1e-4;
    static constexpr int most_trials = 30;

    // What was found at v + step d.
    struct Sample {
        double step = 0, value = 0, slope = 0;
    };

    Sample sample(const Point<T>& at, const std::vector<T>& d, double step) {
        objective_.evaluate(at, step, d, trial_);
        return {.step = step, .value = trial_.value, .slope = dot(trial_.g, d)};
    }
    // Keeps the point of the last sample.
    Sample keep(const Sample& s) {
        std::swap(trial_, low_);
        return s;
    }

    bool decreases_enough(const Sample& s) const {
        return s.value <= start_.value + sufficient_decrease * s.step * start_.slope &&
               s.value < start_.value;
    }
    bool is_flat_enough(const Sample& s) const {
        return std::abs(s.slope) <= -curvature_ * start_.slope;
    }
    bool is_hardly_away(const Sample& s) const {
        constexpr double eps = std::numeric_limits<T>::epsilon();
        return std::abs(s.value - start_.value) <= eps * std::abs(start_.value) &&
               s.slope <= 0.9 * start_.slope;
    }

    // Leaves the point found in low_.
    double search(const Point<T>& at, const std::vector<T>& d, double step) {
        Sample low = start_;
        for (int i = 0; i < most_trials; ++i) {
            const Sample s = sample(at, d, step);
            if (low.step == 0 && is_hardly_away(s)) {
                step = extrapolate(low, s);
                continue;
            }
            if (!decreases_enough(s) || (low.step != 0 && s.value >= low.value)) {
                return zoom(at, d, low, s, most_trials - i);
            }
            if (is_flat_enough(s)) {
                return keep(s).step;
            }
            if (s.slope >= 0) {
                return zoom(at, d, keep(s), low, most_trials - i);
            }
            step = extrapolate(low, s);
            low = keep(s);
        }
        return low.step;
    }

    // `low` has the lowest value so far that decreases enough, and its slope points to `high`.
    double zoom(const Point<T>& at, const std::vector<T>& d, Sample low, Sample high, int trials) {
        for (int i = 0; i < trials; ++i) {
            const double width = high.step - low.step;
            if (std::abs(width) <= 1e-14 * std::abs(low.step)) {
                break;
            }
            const Sample s = sample(at, d, low.step + width * interpolate(low, high));
            if (!decreases_enough(s) || s.value >= low.value) {
                high = s;
                continue;
            }
            if (is_flat_enough(s)) {
                return keep(s).step;
            }
            if (s.slope * width >= 0) {
                high = low;
            }
            low = keep(s);
        }
        return low.step;
    }

    // The root of the slope's secant, well beyond the last step.
    static double extrapolate(const Sample& before, const Sample& last) {
        const double secant =
            last.step + (last.step - before.step) * last.slope / (before.slope - last.slope);
        return before.slope < last.slope ? std::clamp(secant, 2 * last.step, 10 * last.step)
                                         : 10 * last.step;
    }

    // The minimum of the cubic through both values and slopes, as a share of the way from low to
    // high, away from the ends.
    static double interpolate(const Sample& low, const Sample& high) {
        const double width = high.step - low.step;
        const double d1 = low.slope + high.slope - 3 * (high.value - low.value) / width;
        const double d2 = std::copysign(std::sqrt(d1 * d1 - low.slope * high.slope), width);
        const double share = 1 - (high.slope + d2 - d1) / (high.slope - low.slope + 2 * d2);
        return std::isfinite(share) ? std::clamp(share, 0.1, 0.9) : 0.5;
    }

    Objective<T>& objective_;
    double curvature_;
    Point<T> trial_, low_;
    Sample start_;
};

} // namespace mlpcore
