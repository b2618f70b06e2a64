#include <fmt/core.h>

#include <boost/json.hpp>
#include <memory>

#include "cli/lab/verbs.hpp"
#include "provision/catalogue.hpp"
#include "provision/image_layout.hpp"
#include "provision/lab_paths.hpp"

namespace lab::cli {

namespace {

void print_images(const std::vector<provision::TaggedImage>& images, bool as_json) {
  boost::json::array list;
  for (const provision::TaggedImage& image : images) {
    const std::string name = image.repository + ":" + image.tag;
    if (as_json) {
      list.push_back({{"name", name}, {"digest", image.manifest.digest}});
    } else {
      fmt::print("{:<28} {}\n", name, image.manifest.digest);
    }
  }
  if (as_json) fmt::print("{}\n", boost::json::serialize(list));
}

}  // namespace

void add_catalogue(CLI::App& app, Globals& globals) {
  CLI::App* verb = app.add_subcommand(
      "catalogue",
      "Build the container images of the labs' mirror where they are missing; list them");
  auto names = std::make_shared<std::vector<std::string>>();
  verb->add_option("name", *names, "Images; without one, those that a lab starts with")
      ->check(CLI::IsMember(provision::catalogue_names()));
  verb->callback([names, &globals] {
    const auto folder = provision::catalogue_directory(provision::cache_root());
    const auto progress = [](std::string_view line) { fmt::print(stderr, "{}\n", line); };
    check_or_fail(provision::ensure_catalogue(
        folder, names->empty() ? provision::initial_catalogue_names() : *names, progress));
    print_images(value_or_fail(provision::ImageLayout(folder).images()), globals.json);
  });
}

}  // namespace lab::cli
