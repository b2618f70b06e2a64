#include "engine/build/run_config.hpp"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "engine/build/arguments.hpp"
#include "engine/build/cache.hpp"
#include "engine/build/go_text.hpp"
#include "engine/build/ports.hpp"
#include "engine/util/json.hpp"

namespace lab::engine::build {
namespace {

using Words = std::vector<std::string>;

std::string apply(RunConfig& config, std::string_view line, std::string* note = nullptr) {
  auto instruction = parse_instruction(line);
  if (!instruction) return "parse: " + instruction.error().message;
  const Variables variables = environment_of(config.document);
  if (auto expanded = expand_arguments(*instruction, variables, '\\'); !expanded)
    return "expand: " + expanded.error().message;
  auto comment =
      apply_instruction(config, *instruction, variables, '\\', [note](std::string_view text) {
        if (note != nullptr) *note = text;
      });
  return comment ? *comment : "error: " + comment.error().message;
}

TEST(RunConfig, CommentsAreThoseOfTheClassicBuilder) {
  RunConfig config;
  EXPECT_EQ(apply(config, "ENV A=1 B=\"two words\""), "ENV A=1 B=two words");
  EXPECT_EQ(apply(config, "ENV C $A-x"), "ENV C=1-x");
  EXPECT_EQ(apply(config, "LABEL k=\"$A\""), "LABEL k=1");
  EXPECT_EQ(apply(config, "EXPOSE 8080 53/UDP 9000-9001"), "EXPOSE 53/UDP 8080 9000-9001");
  EXPECT_EQ(apply(config, "VOLUME /a /b"), "VOLUME [/a /b]");
  EXPECT_EQ(apply(config, "WORKDIR a"), "WORKDIR /a");
  EXPECT_EQ(apply(config, "WORKDIR ../b/"), "WORKDIR /b");
  EXPECT_EQ(apply(config, "CMD echo \"$A\""), R"(CMD ["/bin/sh" "-c" "echo \"$A\""])");
  EXPECT_EQ(apply(config, "ENTRYPOINT [\"x\", \"y\"]"), R"(ENTRYPOINT ["x" "y"])");
  EXPECT_EQ(apply(config, "SHELL [\"/bin/bash\", \"-c\"]"), "SHELL [/bin/bash -c]");
  EXPECT_EQ(apply(config, "CMD z"), R"(CMD ["/bin/bash" "-c" "z"])");
  EXPECT_EQ(apply(config, "USER $C"), "USER 1-x");
  EXPECT_EQ(apply(config, "STOPSIGNAL SIGTERM"), "STOPSIGNAL SIGTERM");
  EXPECT_EQ(apply(config, "ONBUILD  RUN echo  x"), "ONBUILD RUN echo  x");
  EXPECT_EQ(apply(config, "MAINTAINER a b"), "MAINTAINER a b");
  EXPECT_EQ(config.author, "a b");
  const auto& document = config.document;
  EXPECT_EQ(texts_of(document, "Env"), (Words{"A=1", "B=two words", "C=1-x"}));
  EXPECT_EQ(boost::json::serialize(object_of(document, "ExposedPorts")),
            R"({"53/udp":{},"8080/tcp":{},"9000/tcp":{},"9001/tcp":{}})");
  EXPECT_EQ(texts_of(document, "OnBuild"), Words{"RUN echo  x"});
}

TEST(RunConfig, AnEntrypointClearsTheCommandOfTheBaseOnly) {
  RunConfig config;
  config.document["Cmd"] = boost::json::array{"of", "base"};
  apply(config, "ENTRYPOINT [\"x\"]");
  EXPECT_TRUE(texts_of(config.document, "Cmd").empty());
  apply(config, "CMD [\"own\"]");
  apply(config, "ENTRYPOINT [\"y\"]");
  EXPECT_EQ(texts_of(config.document, "Cmd"), Words{"own"});
}

TEST(RunConfig, HealthChecks) {
  RunConfig config;
  std::string note;
  EXPECT_EQ(apply(config, "HEALTHCHECK --interval=1m30s --retries=3 CMD curl x"),
            R"(HEALTHCHECK &{["CMD-SHELL" "curl x"] "1m30s" "0s" "0s" '\x03'})");
  EXPECT_EQ(apply(config, "HEALTHCHECK CMD [\"a\"]", &note),
            R"(HEALTHCHECK &{["CMD" "a"] "0s" "0s" "0s" '\x00'})");
  EXPECT_EQ(note, "Note: overriding previous HEALTHCHECK: [CMD-SHELL curl x]\n");
  EXPECT_EQ(apply(config, "HEALTHCHECK --timeout=1us CMD x"),
            "error: Interval \"timeout\" cannot be less than 1ms");
  EXPECT_EQ(apply(config, "HEALTHCHECK --retries=0 CMD x"),
            "error: --retries must be at least 1 (not 0)");
  EXPECT_EQ(apply(config, "HEALTHCHECK --interval=3 CMD x"),
            "error: time: missing unit in duration \"3\"");
}

TEST(RunConfig, ChangesOfCommitAreSomeInstructionsOnly) {
  boost::json::object config;
  ASSERT_TRUE(apply_changes(config, {"ENV A=1", "cmd [\"x\"]"}));
  EXPECT_EQ(texts_of(config, "Env"), Words{"A=1"});
  EXPECT_EQ(texts_of(config, "Cmd"), Words{"x"});
  EXPECT_EQ(apply_changes(config, {"RUN x"}).error().message, "run is not a valid change command");
}

TEST(GoText, DurationsAreReadAndWrittenAsGoDoes) {
  for (const char* text :
       {"0s", "1ns", "1.5\u00b5s", "300ms", "1.5s", "1m0s", "1h30m0s", "2h0m0.5s"})
    EXPECT_EQ(go_duration(*parse_go_duration(text)), text);
  EXPECT_EQ(go_duration(*parse_go_duration("90m")), "1h30m0s");
  EXPECT_EQ(go_duration(*parse_go_duration("1h1ms")), "1h0m0.001s");
  for (const char* text : {"", "x", "1.2.3s", "1d", "-", "1e9h", "99999999999h"})
    EXPECT_FALSE(parse_go_duration(text)) << text;
}

TEST(GoText, Quotes) {
  EXPECT_EQ(go_quoted("a\"\\\n\x01"), R"("a\"\\\n\x01")");
  EXPECT_EQ(go_quoted(Words{}), "[]");
  EXPECT_EQ(go_quoted_character(10), R"('\n')");
  EXPECT_EQ(go_quoted_character(39), R"('\'')");
  EXPECT_EQ(go_quoted_character(48), "'0'");
}

TEST(BuildArguments, AreSeenWhereTheyAreDeclared) {
  BuildArguments arguments({{"GIVEN", "g"}, {"UNUSED", "u"}, {"http_proxy", "p"}, {"UNSET", {}}});
  arguments.declare_global("BASE", "b");
  EXPECT_EQ(arguments.global().at("BASE"), "b");
  arguments.begin_stage();
  EXPECT_EQ(arguments.visible({}), (Variables{{"http_proxy", "p"}}));
  arguments.declare("BASE", std::nullopt);
  arguments.declare("GIVEN", "default");
  arguments.declare("DEFAULT", "d");
  arguments.declare("UNSET", "x");
  EXPECT_EQ(arguments.visible({"DEFAULT=env"}),
            (Variables{{"BASE", "b"}, {"GIVEN", "g"}, {"UNSET", "x"}, {"http_proxy", "p"}}));
  EXPECT_FALSE(arguments.is_part_of_cache_key("http_proxy"));
  EXPECT_EQ(arguments.unused(), Words{"UNUSED"});
}

TEST(BuildCache, WhatCountsOfAStep) {
  boost::json::object a;
  a["Cmd"] = boost::json::array{"x"};
  a["WorkingDir"] = "/a";
  a["Labels"] = nullptr;
  boost::json::object b = a;
  b["WorkingDir"] = "/b";  // WORKDIR is in the step's comment
  b["Labels"] = boost::json::object();
  EXPECT_TRUE(is_same_step(a, b));
  b["Env"] = boost::json::array{"A=1"};
  EXPECT_FALSE(is_same_step(a, b));
  b = a;
  b["OpenStdin"] = true;
  EXPECT_FALSE(is_same_step(b, b));
}

TEST(ExposedPorts, TextsOfErrors) {
  EXPECT_EQ(exposed_ports("70000").error().message, "Invalid containerPort: 70000");
  EXPECT_EQ(exposed_ports("80/icmp").error().message, "Invalid proto: icmp");
  EXPECT_EQ(exposed_ports("8080:80").value(), Words{"80/tcp"});
}

}  // namespace
}  // namespace lab::engine::build
