# One program, built with the lab itself from hello.cc, and nothing else.
mkdir root
install -m 755 files/hello root/hello
layer_from root
