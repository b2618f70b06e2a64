// The fuzz targets: each takes bytes that an enemy chose and aborts if something goes wrong that
// the sanitizers do not see. libFuzzer drives them in the preset `fuzz`; fuzz_tests replays the
// corpus.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace lab::fuzz {

void dockerfile(std::string_view bytes);  // a Dockerfile and the expansion of its words
void ignore(std::string_view bytes);      // a .dockerignore, a line break, paths
void layer(std::string_view bytes);       // a layer's tar, compressed or not
void archive(std::string_view bytes);     // the tar of `docker load`
void manifest(std::string_view bytes);    // manifests, indexes, image configurations, credentials
void http(std::string_view bytes);        // requests or answers on one connection, in pieces
void stream(std::string_view bytes);      // detach keys, a line break, what a user types
void dns(std::string_view bytes);         // a query from a container, or an answer to one
void frame(std::string_view bytes);       // Ethernet frames through the lab's switch and captures
void request(std::string_view bytes);     // the body of a request, or a filter of names

using Target = void (*)(std::string_view);
inline const std::map<std::string, Target>& targets() {
  static const std::map<std::string, Target> all = {
      {"dockerfile", dockerfile}, {"ignore", ignore},  {"layer", layer},   {"archive", archive},
      {"manifest", manifest},     {"http", http},      {"stream", stream}, {"dns", dns},
      {"frame", frame},           {"request", request}};
  return all;
}

}  // namespace lab::fuzz
