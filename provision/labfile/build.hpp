// From a parsed TOML document to a Labfile: which keys there are, what they may hold, and what must
// hold between them.
#pragma once

#include "provision/labfile/labfile.hpp"
#include "provision/labfile/reader.hpp"

namespace lab::provision {

// What it gives is consistent only when `problems` stays empty.
[[nodiscard]] Labfile build_labfile(const toml::table& root, const std::filesystem::path& path,
                                    Problems& problems);

}  // namespace lab::provision
