// Names and addresses of the NICs, as the seed's configuration has them: lines
//   nic MAC NAME [ADDRESS/PREFIX [GATEWAY]]
#pragma once

namespace lab::guest {

// Brings up the loopback, and each NIC that has an address. A NIC that has its name already takes
// the MAC; else the NIC with this MAC takes the name. Changes `config`.
void configure_network(char* config);

}  // namespace lab::guest
