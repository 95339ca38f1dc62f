// How much memory can still be had.
#pragma once

#include <string>

namespace mlpcore::bindings {

// Bytes that this process can still have without swapping: the least of what the machine has, what
// the control groups of the process leave (those of a container, a batch system, a service) and
// what RLIMIT_AS leaves. A huge number where the system does not say. The files of /proc and /sys
// are looked for below `root`.
double available_memory(const std::string& root = "");

} // namespace mlpcore::bindings
