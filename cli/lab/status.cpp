#include <fmt/core.h>

#include <boost/json.hpp>

#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

namespace json = boost::json;

namespace {

const char* state_of(const provision::MachineStatus& machine) {
  if (machine.running) return "running";
  return machine.suspended ? "suspended" : "off";
}

json::object to_json(const provision::LabStatus& status) {
  json::array machines;
  for (const provision::MachineStatus& machine : status.machines) {
    machines.push_back(json::object{{"name", machine.name},
                                    {"address", machine.address},
                                    {"role", machine.role},
                                    {"state", state_of(machine)},
                                    {"pid", machine.pid},
                                    {"ssh_port", machine.ssh_port},
                                    {"directory", machine.directory.string()}});
  }
  json::object labd{{"state", status.labd_pid == 0 ? "off" : "running"},
                    {"pid", status.labd_pid},
                    {"mirror_port", status.mirror_port}};
  return json::object{{"lab", status.name},
                      {"id", status.id},
                      {"directory", status.directory.string()},
                      {"labd", std::move(labd)},
                      {"machines", std::move(machines)}};
}

void print_table(const provision::LabStatus& status) {
  fmt::print("{:<12} {:<16} {:<8} {:<9} {:>8}  {}\n", "MACHINE", "ADDRESS", "ROLE", "STATE", "PID",
             "SSH");
  for (const provision::MachineStatus& machine : status.machines) {
    fmt::print("{:<12} {:<16} {:<8} {:<9} {:>8}  {}\n", machine.name, machine.address, machine.role,
               state_of(machine), machine.running ? std::to_string(machine.pid) : "-",
               machine.ssh_port == 0 ? "-" : fmt::format("127.0.0.1:{}", machine.ssh_port));
  }
  if (status.labd_pid == 0) {
    fmt::print("labd is not running\n");
  } else {
    fmt::print("labd is running (process {})\n", status.labd_pid);
  }
}

}  // namespace

void add_status(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("status", "Which machines run");
  verb->callback([&globals] {
    auto lab = value_or_fail(provision::view_lab(globals.labfile));
    provision::LabStatus status = provision::lab_status(lab);
    if (globals.json) {
      fmt::print("{}\n", json::serialize(to_json(status)));
    } else {
      print_table(status);
    }
  });
}

}  // namespace lab::cli
