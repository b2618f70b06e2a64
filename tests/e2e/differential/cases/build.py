"""Point 5: the classic builder: output, images, cache, errors."""
from case import case


def build(on, dockerfile, flags="-t made", **files):
    on.files({"Dockerfile": dockerfile, **files})
    on.docker(f"build {flags} .")


@case
def output_and_cache(on):
    text = "FROM busybox\nENV A=1\nRUN echo hello >/f && cat /f\nCOPY x /x\nCMD [\"cat\", \"/x\"]\n"
    build(on, text, x="one\n")
    build(on, text, x="one\n")
    on.files({"x": "two\n"})
    build(on, text, x="two\n")
    on.docker("run --rm made")
    on.docker("history --no-trunc --format '{{.CreatedBy}} {{.Size}}' made")


@case
def whole_configuration(on):
    build(on,
          'FROM web\nLABEL a=1 "b c"=2\nMAINTAINER me\nENV X=1 Y="two words"\nENV OLD style\nWORKDIR /w\nWORKDIR '
          'rel\nUSER web:extra\n'
              'EXPOSE 1234 5/udp\nVOLUME ["/v1", "/v2"]\nENTRYPOINT ["echo"]\nCMD ["hi"]\nSTOPSIGNAL SIGUSR1\nSHELL '
              '["/bin/sh", "-ec"]\n'
              'HEALTHCHECK --interval=5s --timeout=2s --retries=2 --start-period=1s CMD test -e /\nONBUILD RUN echo '
              'x\n')
    on.docker("inspect made")


@case
def shell_forms(on):
    build(on, 'FROM busybox\nRUN ["echo", "exec form"]\nRUN echo "shell $HOME"\nENTRYPOINT echo a\nCMD echo b\n')
    on.docker("inspect -f '{{json .Config.Entrypoint}} {{json .Config.Cmd}}' made")
    on.docker("run --rm made")


@case
def arguments(on):
    build(on, "ARG BASE=busybox\nFROM $BASE\nARG A=default\nARG B\nRUN echo A=$A B=$B\nENV A=env\nRUN echo A=$A\n",
          "-t made --build-arg B=given")
    build(on, "FROM busybox\nARG A\nRUN echo A=$A\n", "-t made --build-arg A=1 --build-arg UNUSED=2")
    on.docker("history --format '{{.CreatedBy}}' made")


@case
def stages(on):
    build(on,
          "FROM busybox AS one\nRUN echo data >/data/out\nFROM busybox as two\nCOPY --from=one /data/out /out\nFROM "
          "two\n"
              "COPY --from=0 /data/out /again\nRUN cat /out /again\n")
    build(on, "FROM busybox AS one\nRUN echo one\nFROM busybox AS two\nRUN echo two\n", "--target one -t made")
    build(on, "FROM busybox AS one\n", "--target nosuch -t made")
    build(on, "FROM busybox\nCOPY --from=nosuch /x /x\n")
    build(on, "FROM busybox\nCOPY --from=web /data/from-image /x\nRUN ls -ln /x | cut -c1-25\n")


@case
def copies(on):
    on.files({"d/one": "1\n", "d/sub/two": "2\n", "f1": "a\n", "f2": "b\n"})
    build(on,
          "FROM busybox\nCOPY d /d\nCOPY d/ /e/\nCOPY f* /many/\nCOPY --chown=web:extra f1 /owned\nCOPY --chown=5:6 "
          "d /nums\n"
              "WORKDIR /w\nCOPY f1 .\nCOPY f2 rel/\nRUN find /d /e /many /w | sort; ls -ln /owned /nums | cut -c1-25\n")


@case
def copy_errors(on):
    on.files({"f1": "a\n", "f2": "b\n"})
    build(on, "FROM busybox\nCOPY nosuch /x\n")
    build(on, "FROM busybox\nCOPY f1 f2 /x\n")
    build(on, "FROM busybox\nCOPY ../f1 /x\n")
    build(on, "FROM busybox\nCOPY f1\n")
    build(on, "FROM busybox\nCOPY --chown=nosuch f1 /x\n")
    build(on, "FROM busybox\nCOPY --bad=1 f1 /x\n")
    build(on, "FROM busybox\nCOPY nosuch* /x/\n")
    build(on, "FROM busybox\nADD http://127.0.0.1:1/x /x\n")


@case
def archives_are_unpacked(on):
    on.files({"d/f": "packed\n"})
    on.host.run("tar", "-C", on.folder, "-czf", on.folder / "a.tar.gz", "d")
    build(on, "FROM busybox\nADD a.tar.gz /x/\nCOPY a.tar.gz /y/\nRUN find /x /y | sort\n")


@case
def failures(on):
    build(on, "FROM busybox\nRUN echo before; exit 7\n")
    build(on, "FROM busybox\nRUN nosuch\n")
    build(on, 'FROM busybox\nRUN ["nosuch"]\n')
    build(on, "FROM nosuchimage\n")
    build(on, "FROM busybox:nosuch\n")
    on.docker("images -a --format '{{.Repository}}'")


@case
def parse_errors(on):
    for text in ("", "# nothing\n", "RUN x\n", "FROM\n", "FROM busybox\nNOSUCH x\n", "FROM busybox\nENV\n",
                 "FROM busybox\nENV A\n",
                 "FROM busybox\nEXPOSE x\n", "FROM busybox\nLABEL\n", "FROM busybox\nCMD [\"unterminated\n",
                 "FROM a b c\n",
                 "FROM busybox\nONBUILD ONBUILD RUN x\n", "FROM busybox\nONBUILD FROM x\n", "FROM busybox\nWORKDIR\n",
                 "FROM busybox\nSTOPSIGNAL NOSUCH\n", "FROM busybox\nHEALTHCHECK\n", "FROM busybox\nHEALTHCHECK CMD\n",
                 "FROM busybox\nHEALTHCHECK --interval=x CMD y\n", "FROM busybox\nSHELL x\n", "FROM busybox\nVOLUME\n",
                 "FROM BAD\n",
                 "FROM busybox\nUSER\n", "FROM busybox\nARG\n", "FROM $NOSUCH\n", "FROM busybox AS -x\n",
                 "FROM busybox\nCOPY --from=5 /x /y\n",
                 ):
        build(on, text)


@case
def missing_files(on):
    on.docker("build -t made .")
    on.docker("build -t made -f nosuch .")
    on.docker("build -t made nosuch")
    on.docker("build -t BAD .")
    on.files({"Dockerfile": "FROM busybox\n"})
    on.docker("build -t BAD .")
    on.docker("build -f ../Dockerfile .")


@case
def ignored_files(on):
    on.files({".dockerignore": "*.log\n!keep.log\ndir/*\n!dir/kept\n**/deep\n# comment\n", "a.log": "x",
              "keep.log": "x", "dir/gone": "x",
              "dir/kept": "x", "sub/deep": "x", "sub/there": "x"})
    build(on, "FROM busybox\nCOPY . /ctx\nRUN find /ctx -type f | sort\n")


@case
def other_dockerfile_and_standard_input(on):
    on.files({"other/Other": "FROM busybox\nRUN echo other\n"})
    on.docker("build -t made -f other/Other .")
    on.docker("build -t made -", stdin="FROM busybox\nRUN echo from stdin\n")
    on.docker("build -t made -f - .", stdin="FROM busybox\nCOPY other/Other /x\n")


@case
def identity_file_and_quiet(on):
    on.files({"Dockerfile": "FROM busybox\nENV A=1\n"})
    on.docker("build -q --iidfile id .")
    on.record("id", (on.folder / "id").read_text())
    on.docker("build -q -t made .")
    on.files({"Dockerfile": "FROM busybox\nRUN exit 1\n"})
    on.docker("build -q .")


@case
def labels_and_several_tags(on):
    build(on, "FROM busybox\nLABEL a=1\n", "-t made:1 -t made:2 --label b=2 --label a=3")
    on.docker("inspect -f '{{json .Config.Labels}}' made:1")
    on.docker("images --format '{{.Repository}}:{{.Tag}}' made")


@case
def no_cache(on):
    text = "FROM busybox\nRUN echo hello\n"
    build(on, text)
    build(on, text, "--no-cache -t made")
    build(on, text, "--cache-from made -t again")
    build(on, text, "--rm=false -t again --no-cache")
    on.docker("ps -a --format '{{.Command}} {{.Status}}'")


@case
def triggers(on):
    build(on, "FROM busybox\nONBUILD RUN echo triggered\nONBUILD COPY x /x\n", "-t parent")
    build(on, "FROM parent\nRUN cat /x\n", x="here\n")
    on.docker("inspect -f '{{json .Config.OnBuild}}' made")


@case
def escapes_and_directives(on):
    build(on, "# escape=`\nFROM busybox\nRUN echo one `\n  two\nENV A=a\\b\nRUN echo $A \\$A\n")
    build(on,
          "FROM busybox\nENV A=1\nENV B=${A:-x} C=${N:-none} D=${A:+set} E=\\$A\nRUN env | grep -E '^[B-E]='\nRUN "
          "echo \\\n# comment\n  "
              "continued\n")


@case
def squashed(on):
    build(on, "FROM busybox\nRUN echo 1 >/a\nRUN echo 2 >/b; rm /a\n", "--squash -t made")
    on.docker("inspect -f '{{len .RootFS.Layers}} {{.Parent}}' made")
    on.docker("history --format '{{.CreatedBy}} {{.Size}} {{.Comment}}' made")


@case
def limits_and_networks(on):
    build(on,
          "FROM busybox\nRUN ip -o link | wc -l; cat /sys/fs/cgroup/memory/memory.limit_in_bytes; hostname | wc -c\n",
          "--network none --memory 64m -t made")
    build(on, "FROM busybox\nRUN grep x /etc/hosts\n", "--add-host x:10.0.0.9 -t made")
    build(on, "FROM busybox\nRUN true\n", "--network nosuch -t made")


@case
def scratch(on):
    build(on, "FROM scratch\nLABEL a=1\n")
    build(on, "FROM scratch\n")
    build(on, "FROM scratch\nCOPY x /x\n", x="1\n")
    on.docker("inspect made")
    build(on, "FROM scratch\nRUN x\n")


@case
def raw_requests(on):
    tar = {"Content-Type": "application/x-tar"}
    on.api("POST", "/build", b"", tar)
    on.api("POST", "/build?buildargs=bad", b"", tar)
    on.api("POST", "/build?labels=bad", b"", tar)
    on.api("POST", "/build?ulimits=bad", b"", tar)
    on.api("POST", "/build?platform=foobar", b"", tar)
    on.api("POST", "/build?isolation=bad", b"", tar)
    on.api("POST", "/build?cachefrom=bad", b"", tar)
    on.api("POST", "/build/prune")
