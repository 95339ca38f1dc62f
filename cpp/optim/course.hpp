// Whom a method tells how it goes. All rules for stopping are in there, none in the methods.
#pragma once

#include "optim/archive.hpp"
#include "optim/objective.hpp"

namespace mlpcore {

template <class T> class Course {
  public:
    virtual ~Course() = default;

    // Takes note of the start, or takes up a run where it was left: the state is then what it was
    // there. `state` names all that the method needs, besides the weights, to go on after an
    // iteration has ended. True if there is nothing to do.
    virtual bool begun(const Point<T>& point, State state) = 0;

    // Takes note of an iteration's end; true if that was the last one.
    virtual bool ended(const Point<T>& point) = 0;

    // The method finds nothing lower: the values of F no longer differ by more than their rounding.
    virtual void exhausted() = 0;
};

} // namespace mlpcore
