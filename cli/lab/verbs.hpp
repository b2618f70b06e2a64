// All verbs, in the order of `lab --help`.
#pragma once

#include "cli/lab/verb.hpp"

namespace lab::cli {

void add_catalogue(CLI::App& app, Globals& globals);
void add_version(CLI::App& app, Globals& globals);

}  // namespace lab::cli
