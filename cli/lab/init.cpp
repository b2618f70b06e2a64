#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include "base/file.hpp"
#include "cli/lab/common.hpp"
#include "cli/lab/verbs.hpp"

namespace lab::cli {

void add_init(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand("init", "Write a commented labfile to begin with");
  verb->callback([&globals] {
    // O_EXCL: never over a file that is there.
    Fd fd(open(globals.labfile.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!fd && errno == EEXIST) {
      fail(make_error(Code::conflict, "{} is there already; it stays as it is", globals.labfile));
    }
    if (!fd) fail(errno_error(errno, "creating " + globals.labfile));
    std::string_view text = provision::labfile_template();
    if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      fail(errno_error(errno, "writing " + globals.labfile));
    fmt::print("{} written: three machines with a swarm; `lab up` makes them\n", globals.labfile);
  });
}

}  // namespace lab::cli
