// The course of the learning rate, as a share of what it is at its highest.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string_view>

#include "mlpcore/architecture.hpp"

namespace mlpcore {

enum class ScheduleKind { constant, step, cosine, one_cycle, plateau };
inline constexpr std::array schedule_names{
    std::string_view{"constant"}, std::string_view{"step"}, std::string_view{"cosine"},
    std::string_view{"one_cycle"}, std::string_view{"plateau"}};

struct Schedule {
    ScheduleKind kind = ScheduleKind::constant;
    double factor = 1; // of step and plateau, at each reduction
    double every = 1;  // epochs of step; of plateau without an improvement
    double start = 1;  // of one_cycle, the share at first
    double warmup = 0; // of one_cycle, the part of the epochs in which the rate rises
    double final = 0;  // of cosine and one_cycle, the share at last

    // The share after `done` of `all` epochs; `done` counts the share of an epoch that is under
    // way. `reductions` counts the plateaus until then.
    double share(double done, index all, index reductions) const {
        const double progress = std::min(done / static_cast<double>(std::max<index>(all, 1)), 1.0);
        switch (kind) {
        case ScheduleKind::constant:
            return 1;
        case ScheduleKind::step:
            return std::pow(factor, std::floor(done / every));
        case ScheduleKind::cosine: // Loshchilov and Hutter, 2017, equation 5
            return between(1, final, progress);
        case ScheduleKind::one_cycle: // Smith and Topin, 2018
            return progress < warmup ? between(start, 1, progress / warmup)
                                     : between(1, final, (progress - warmup) / (1 - warmup));
        case ScheduleKind::plateau:
            return std::pow(factor, static_cast<double>(reductions));
        }
        return 1;
    }

  private:
    // Half a cosine from a to b.
    static double between(double a, double b, double part) {
        return b + 0.5 * (a - b) * (1 + std::cos(std::numbers::pi * part));
    }
};

} // namespace mlpcore
