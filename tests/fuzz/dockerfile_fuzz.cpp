#include "engine/build/run_config.hpp"
#include "engine/container/config.hpp"
#include "tests/fuzz/targets.hpp"

namespace lab::fuzz {

namespace {

void carry_out(engine::build::RunConfig& config, engine::build::Instruction instruction,
               char escape) {
  using namespace engine::build;
  const Variables variables = environment_of(config.document);
  if (!expand_arguments(instruction, variables, escape)) return;
  if (instruction.name == "RUN" || instruction.name == "COPY" || instruction.name == "ADD" ||
      instruction.name == "ARG" || instruction.name == "FROM")
    return;
  static_cast<void>(
      apply_instruction(config, instruction, variables, escape, [](std::string_view) {}));
}

}  // namespace

void dockerfile(std::string_view bytes) {
  auto file = engine::build::parse_dockerfile(bytes);
  static_cast<void>(engine::build::parse_instructions(bytes));
  if (!file) return;
  engine::build::RunConfig config;
  config.document = engine::container::complete_image_config({});
  for (const engine::build::Stage& stage : file->stages) {
    for (const engine::build::Instruction& instruction : stage.instructions)
      carry_out(config, instruction, file->escape);
  }
}

}  // namespace lab::fuzz
