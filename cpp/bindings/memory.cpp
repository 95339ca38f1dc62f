#include "memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <unistd.h>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#endif

namespace mlpcore::bindings {

namespace {

constexpr double unlimited = 1e18;

// The number that a file begins with; `otherwise` where there is none, as in "max".
double number_in(const std::string& path, double otherwise) {
    std::ifstream file(path);
    double number = 0;
    return file >> number ? number : otherwise;
}

// The number behind a word that a line begins with.
double number_of(const std::string& word, const std::string& path, double otherwise) {
    std::ifstream file(path);
    std::string found;
    double number = 0;
    while (file >> found >> number) {
        if (found == word) {
            return number;
        }
        file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
    return otherwise;
}

double page_size() { return static_cast<double>(sysconf(_SC_PAGESIZE)); }

double left_by_machine(const std::string& root) {
    const double kilobytes = number_of("MemAvailable:", root + "/proc/meminfo", -1);
    if (kilobytes >= 0) {
        return 1024 * kilobytes;
    }
#if defined(_SC_PHYS_PAGES)
    return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * page_size();
#else
    return unlimited;
#endif
}

// The files of control groups, version 1 or 2.
struct GroupFiles {
    const char *folder, *limit, *usage, *cache; // `cache` is a word in memory.stat
};
constexpr GroupFiles version1{.folder = "/sys/fs/cgroup/memory",
                              .limit = "/memory.limit_in_bytes",
                              .usage = "/memory.usage_in_bytes",
                              .cache = "total_inactive_file"};
constexpr GroupFiles version2{.folder = "/sys/fs/cgroup",
                              .limit = "/memory.max",
                              .usage = "/memory.current",
                              .cache = "inactive_file"};

// By a group and all that it is in. Within a container its path may be that outside of it, and does
// not exist; the outermost folder is then the container's own.
double left_by_groups(const std::string& root, const GroupFiles& files, std::string path) {
    double least = unlimited;
    while (true) {
        path.erase(path.find_last_not_of('/') + 1);
        std::string group = root;
        group.append(files.folder).append(path);
        const double limit = number_in(group + files.limit, unlimited);
        if (limit < unlimited) {
            // Files that nobody has read for a while are dropped when memory is asked for.
            const double usage = number_in(group + files.usage, 0),
                         cache = number_of(files.cache, group + "/memory.stat", 0);
            least = std::min(least, limit - usage + cache);
        }
        if (path.empty()) {
            return least;
        }
        path.erase(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
}

double left_by_groups(const std::string& root) {
    std::ifstream file(root + "/proc/self/cgroup");
    double least = unlimited;
    // number:controllers:path, without controllers that of version 2
    for (std::string line; std::getline(file, line);) {
        const std::size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        std::string controllers = line.substr(first, second - first + 1);
        controllers.front() = controllers.back() = ',';
        const std::string path = line.substr(second + 1);
        if (controllers == ",,") {
            least = std::min(least, left_by_groups(root, version2, path));
        } else if (controllers.find(",memory,") != std::string::npos) {
            least = std::min(least, left_by_groups(root, version1, path));
        }
    }
    return least;
}

double left_by_address_space(const std::string& root) {
#if defined(__unix__) || defined(__APPLE__)
    rlimit limit{};
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        const double used = number_in(root + "/proc/self/statm", 0) * page_size();
        return static_cast<double>(limit.rlim_cur) - used;
    }
#endif
    return unlimited;
}

} // namespace

double available_memory(const std::string& root) {
    const double least =
        std::min({left_by_machine(root), left_by_groups(root), left_by_address_space(root)});
    return std::max(least, 0.0);
}

} // namespace mlpcore::bindings
