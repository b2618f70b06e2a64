// The package sources that this host is configured to use. Guest images and the container catalogue
// are built from them, so that no mirror is named in our source and a host that reaches only its
// own mirror works.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace lab::vm {

struct AptSources {
  std::string deb822;                // entries of the wanted suites, in the deb822 format
  std::vector<std::string> options;  // "Acquire::...", for --aptopt
  // Proxies, for apt's environment: they may hold a password, so not for a command line.
  std::map<std::string, std::string> environment;
};

// The entries for `suite` ("bookworm") and its -updates and -security companions, out of
// sources.list and sources.list.d below `apt_folder`. Code::not_found when there is none.
[[nodiscard]] Result<std::string> apt_entries_for_suite(const std::filesystem::path& apt_folder,
                                                        const std::string& suite);

// Sorts one line of `apt-config dump` into options or environment, or drops it.
void take_apt_option(const std::string& line, AptSources& sources);

// The entries from /etc/apt, and the download options of this host's apt (asks apt-config). Blocks.
[[nodiscard]] Result<AptSources> apt_sources_for_suite(const std::string& suite);

}  // namespace lab::vm
