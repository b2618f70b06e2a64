#include <unistd.h>

#include "vm/guest/roles.hpp"

int main() { return getpid() == 1 ? lab::guest::initialise() : lab::guest::become_machine(); }
