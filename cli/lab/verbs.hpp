// All verbs, in the order of `lab --help`.
#pragma once

#include "cli/lab/verb.hpp"

namespace lab::cli {

void add_up(CLI::App& app, Globals& globals);
void add_status(CLI::App& app, Globals& globals);
void add_ssh(CLI::App& app, Globals& globals);
void add_ssh_config(CLI::App& app, Globals& globals);
void add_exec(CLI::App& app, Globals& globals);
void add_cp(CLI::App& app, Globals& globals);
void add_sync(CLI::App& app, Globals& globals);
void add_console(CLI::App& app, Globals& globals);
void add_logs(CLI::App& app, Globals& globals);
void add_halt(CLI::App& app, Globals& globals);
void add_suspend(CLI::App& app, Globals& globals);
void add_resume(CLI::App& app, Globals& globals);
void add_snapshot(CLI::App& app, Globals& globals);
void add_destroy(CLI::App& app, Globals& globals);
void add_run(CLI::App& app, Globals& globals);
void add_validate(CLI::App& app, Globals& globals);
void add_init(CLI::App& app, Globals& globals);
void add_doctor(CLI::App& app, Globals& globals);
void add_catalogue(CLI::App& app, Globals& globals);
void add_net(CLI::App& app, Globals& globals);
void add_net_capture(CLI::App& net, Globals& globals);  // below `net`
void add_forward(CLI::App& app, Globals& globals);
void add_version(CLI::App& app, Globals& globals);
void add_completion(CLI::App& app, Globals& globals);

}  // namespace lab::cli
