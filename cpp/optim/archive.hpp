// The state of a run by name: written at a checkpoint, read when the run is taken up again. A
// method names its state once, and the archive knows which way it goes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "mlpcore/architecture.hpp"

namespace mlpcore {

class Archive {
  public:
    std::map<std::string, std::vector<double>> numbers; // float and counts are exact in double
    std::map<std::string, std::vector<std::uint64_t>> words;
    bool is_read = false;

    template <class T> void operator()(const std::string& name, std::vector<T>& x) {
        if (is_read) {
            x.resize(find(numbers, name).size());
        }
        fixed(name, x);
    }
    // A vector of a length that is known.
    template <class T> void fixed(const std::string& name, std::vector<T>& x) {
        fixed(name, x.data(), x.size());
    }
    template <class T> void fixed(const std::string& name, T* x, std::size_t length) {
        if (!is_read) {
            numbers[name].assign(x, x + length);
            return;
        }
        const std::vector<double>& found = find(numbers, name);
        if (found.size() != length) {
            throw std::invalid_argument("the checkpoint has " + std::to_string(found.size()) +
                                        " numbers of " + name + ", expected " +
                                        std::to_string(length));
        }
        for (std::size_t i = 0; i < length; ++i) {
            constexpr double largest = 9e15; // whole numbers up to here are exact
            if (std::is_integral_v<T> && !(std::abs(found[i]) < largest)) {
                damaged(name);
            }
            x[i] = static_cast<T>(found[i]);
        }
    }
    // Whole numbers from 0 to below `end`.
    void below(const std::string& name, std::vector<index>& x, index end) {
        fixed(name, x);
        if (std::any_of(x.begin(), x.end(), [end](index i) { return i < 0 || i >= end; })) {
            damaged(name);
        }
    }
    void below(const std::string& name, index& x, index end) {
        std::vector<index> one{x};
        below(name, one, end);
        x = one.front();
    }
    void operator()(const std::string& name, double& x) { single(name, x); }
    void operator()(const std::string& name, index& x) { single(name, x); }
    void operator()(const std::string& name, bool& x) {
        index one = x ? 1 : 0;
        below(name, one, 2);
        x = one == 1;
    }
    // What must be as it was.
    void same(const std::string& name, double expected) {
        double x = expected;
        single(name, x);
        if (x != expected) {
            std::ostringstream message;
            message << "the checkpoint has " << name << " " << x << ", expected " << expected;
            throw std::invalid_argument(message.str());
        }
    }
    // One of `count` values that are counted from 0.
    template <class Enum> void choice(const std::string& name, Enum& x, std::size_t count) {
        std::vector<double> one{static_cast<double>(x)};
        fixed(name, one);
        for (std::size_t value = 0; value < count; ++value) {
            if (one.front() == static_cast<double>(value)) {
                x = static_cast<Enum>(value);
                return;
            }
        }
        damaged(name);
    }
    void operator()(const std::string& name, std::array<std::uint64_t, 4>& x) {
        if (!is_read) {
            words[name].assign(x.begin(), x.end());
            return;
        }
        const auto& found = find(words, name);
        if (found.size() != x.size()) {
            damaged(name);
        }
        std::copy(found.begin(), found.end(), x.begin());
    }

  private:
    [[noreturn]] static void damaged(const std::string& name) {
        throw std::invalid_argument("the checkpoint has a damaged " + name);
    }
    template <class T> void single(const std::string& name, T& x) {
        std::vector<T> one{x};
        fixed(name, one);
        x = one.front();
    }
    template <class Map>
    static const typename Map::mapped_type& find(const Map& map, const std::string& name) {
        const auto found = map.find(name);
        if (found == map.end()) {
            throw std::invalid_argument("the checkpoint lacks " + name);
        }
        return found->second;
    }
};

// Names the state of a method to an archive.
using State = std::function<void(Archive&)>;

} // namespace mlpcore
