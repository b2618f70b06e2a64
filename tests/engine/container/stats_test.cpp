#include "engine/container/stats.hpp"

#include <gtest/gtest.h>

#include "base/file.hpp"

namespace lab::engine::container {
namespace {

TEST(Stats, CgroupFoldersOfBothVersions) {
  const CgroupFolders folders =
      cgroup_folders("5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/docker/y\n", "/m");
  EXPECT_EQ(folders.at("cpu"), "/m/cpu/docker/x");
  EXPECT_EQ(folders.at("cpuacct"), "/m/cpuacct/docker/x");
  EXPECT_EQ(folders.at("memory"), "/m/memory/docker/x");
  EXPECT_EQ(folders.at(""), "/m/docker/y");
}

TEST(Stats, AVersion2GroupInDockerdsShape) {
  const std::filesystem::path folder = testing::TempDir() + "stats-v2";
  ASSERT_TRUE(make_directories(folder));
  for (const auto& [name, text] :
       {std::pair{"cpu.stat",
                  "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\n"
                  "nr_throttled 1\nthrottled_usec 4\n"},
        std::pair{"memory.current", "4096\n"}, std::pair{"memory.max", "max\n"},
        std::pair{"memory.stat", "file 1\nanon 2\n"}, std::pair{"pids.current", "3\n"},
        std::pair{"pids.max", "10\n"},
        std::pair{"io.stat", "8:16 rbytes=10 wbytes=20 rios=1 wios=2\n"}})
    ASSERT_TRUE(write_file(folder / name, text, 0600));
  StatsSource source;
  source.cgroups[""] = folder;
  source.cgroup_v2 = true;
  source.host_cpu = "cpu  100 0 100 0 0 0 0 50 0 0\ncpu0 1 1\n";
  source.host_memory_bytes = 1000;
  source.cpus = 4;
  source.network_devices =
      "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
      "  eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n";
  const auto document = stats_document(source, WallTime(), {});
  EXPECT_EQ(document.at("cpu_stats").at("cpu_usage").at("total_usage"), 5000);
  EXPECT_EQ(document.at("cpu_stats").at("system_cpu_usage"), 2'000'000'000);
  EXPECT_EQ(document.at("cpu_stats").at("throttling_data").at("throttled_time"), 4000);
  EXPECT_EQ(document.at("memory_stats").at("usage"), 4096);
  EXPECT_EQ(document.at("memory_stats").at("limit"), 1000);
  EXPECT_EQ(document.at("memory_stats").at("stats").at("anon"), 2);
  EXPECT_EQ(document.at("pids_stats").at("limit"), 10);
  EXPECT_EQ(document.at("blkio_stats").at("io_service_bytes_recursive").at(1).at("value"), 20);
  EXPECT_EQ(document.at("networks").as_object().size(), 1U);
  EXPECT_EQ(document.at("networks").at("eth0").at("tx_dropped"), 8);
  EXPECT_EQ(document.at("precpu_stats").at("cpu_usage").at("total_usage"), 0);
  const auto next = stats_document(source, WallTime(), document);
  EXPECT_EQ(next.at("precpu_stats"), document.at("cpu_stats"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lab::engine::container
