// Whom a method tells how it goes. All rules for stopping are in there, none in the methods.
#pragma once

#include "optim/objective.hpp"

namespace mlpcore {

template <class T> class Course {
  public:
    virtual ~Course() = default;

    // Takes note of the start, and of each iteration's end; true if that was the last one.
    virtual bool ended(const Point<T>& point) = 0;

    // The method finds nothing lower: the values of F no longer differ by more than their rounding.
    virtual void exhausted() = 0;
};

} // namespace mlpcore
