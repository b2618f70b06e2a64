// What is translated between libraft and us, and the record of configurations.
#include "swarm/raft/message.hpp"

#include <gtest/gtest.h>

#include "swarm/raft/configurations.hpp"

namespace lab::swarm::raft {
namespace {

std::vector<Server> servers() {
  return {{.id = 0x1122334455667788, .address = "192.168.50.4:2377", .role = ServerRole::voter},
          {.id = 7, .address = "192.168.50.5:2377", .role = ServerRole::spare}};
}

Entry change(std::uint64_t term, const std::vector<Server>& configuration) {
  raft_configuration made = to_raft(configuration).value();
  raft_buffer buffer{};
  EXPECT_EQ(raft_configuration_encode(&made, &buffer), 0);
  raft_configuration_close(&made);
  Entry entry{.term = term,
              .type = RAFT_CHANGE,
              .data = {static_cast<const char*>(buffer.base), buffer.len}};
  raft_free(buffer.base);
  return entry;
}

bool same(const std::vector<Server>& a, const std::vector<Server>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Server& x, const Server& y) {
    return x.id == y.id && x.address == y.address && x.role == y.role;
  });
}

TEST(Configurations, ReadsWhatLibraftEncodes) {
  Configurations configurations;
  configurations.append(1, std::vector<Entry>{change(1, servers())});
  ASSERT_NE(configurations.at(1), nullptr);
  EXPECT_TRUE(same(*configurations.at(1), servers()));
}

TEST(Configurations, ForgetsWhatIsTruncatedAndWhatASnapshotReplaces) {
  Configurations configurations;
  configurations.append(1, std::vector<Entry>{change(1, servers()), Entry{.term = 1, .type = 1},
                                              change(1, servers()), change(2, servers())});
  configurations.truncate(4);
  EXPECT_EQ(configurations.at(4), nullptr);
  EXPECT_EQ(configurations.at(2), nullptr);
  ASSERT_NE(configurations.at(3), nullptr);
  configurations.snapshot(
      Snapshot{.index = 3, .configuration = servers(), .configuration_index = 3}, false);
  EXPECT_EQ(configurations.at(1), nullptr);
  EXPECT_NE(configurations.at(3), nullptr);
}

TEST(MemberAddress, IsUniqueForLibraftAndPlainForTheRest) {
  EXPECT_EQ(member_address(255, "10.0.0.1:2377"), "10.0.0.1:2377#ff");
  EXPECT_EQ(plain_address("10.0.0.1:2377#ff"), "10.0.0.1:2377");
  EXPECT_EQ(plain_address("10.0.0.1:2377"), "10.0.0.1:2377");
}

TEST(RaftMessage, SurvivesTheWireWithItsEntries) {
  proto::RaftMessage sent;
  sent.set_from(3);
  sent.set_to(4);
  sent.set_from_address("10.0.0.3:2377");
  sent.set_kind(RAFT_IO_APPEND_ENTRIES);
  sent.set_term(9);
  sent.set_prev_log_index(41);
  sent.set_prev_log_term(8);
  sent.set_leader_commit(40);
  for (const char* data : {"one", "", "three"}) {
    proto::RaftEntry& entry = *sent.add_entries();
    entry.set_term(9);
    entry.set_type(RAFT_COMMAND);
    entry.set_data(data);
  }
  raft_message made = from_proto(sent).value();
  EXPECT_EQ(made.server_id, 3U);
  EXPECT_STREQ(made.server_address, "10.0.0.3:2377");
  proto::RaftMessage back = to_proto(made);
  back.set_from(3);
  back.set_to(4);
  back.set_from_address("10.0.0.3:2377");
  EXPECT_EQ(back.SerializeAsString(), sent.SerializeAsString());
  raft_free(made.append_entries.entries[0].batch);
  raft_free(made.append_entries.entries);
}

TEST(RaftMessage, IsRefusedWhenItIsNotOne) {
  proto::RaftMessage sent;
  sent.set_kind(99);
  EXPECT_FALSE(from_proto(sent));
  sent.set_kind(RAFT_IO_REQUEST_VOTE_RESULT);
  sent.set_pre_vote_result(17);
  EXPECT_FALSE(from_proto(sent));
  sent.set_kind(RAFT_IO_INSTALL_SNAPSHOT);
  for (int i = 0; i < 2; ++i) {  // the same server twice
    proto::RaftServer& server = *sent.add_configuration();
    server.set_id(5);
    server.set_address("10.0.0.5:2377");
    server.set_role(1);
  }
  EXPECT_FALSE(from_proto(sent));
}

}  // namespace
}  // namespace lab::swarm::raft
