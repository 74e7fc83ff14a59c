# As much of nixpkgs as flake.nix uses, with real derivations, so that Nix can evaluate it
# without the network. An attribute that flake.nix misspells is an error here too if it is
# none of these names.
{
  outputs =
    { self }:
    let
      lib = {
        genAttrs =
          names: make:
          builtins.listToAttrs (
            map (name: {
              inherit name;
              value = make name;
            }) names
          );
        licenses.asl20 = {
          spdxId = "Apache-2.0";
        };
      };
      # The program under test, where the test says where it is.
      program = if builtins.pathExists ./program then builtins.readFile ./program else null;
      tools = "PATH=/usr/bin:/bin";
      package =
        system: name: extra:
        derivation {
          inherit name system;
          builder = "/bin/sh";
        }
        // extra;
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ] (
        system:
        lib.genAttrs [
          "busybox"
          "cacert"
          "cargo"
          "clippy"
          "grafana"
          "openbao"
          "prometheus-alertmanager"
          "rustc"
          "rustfmt"
        ] (name: package system name { })
        // {
          inherit lib;
          stdenv.hostPlatform = {
            inherit system;
          };
          writeText =
            name: text:
            derivation {
              inherit name system text;
              passAsFile = [ "text" ];
              builder = "/bin/sh";
              args = [
                "-c"
                "${tools}; cp \"$textPath\" \"$out\""
              ];
            };
          runCommand =
            name: environment: script:
            derivation (
              removeAttrs environment [ "nativeBuildInputs" ]
              // {
                inherit name system script;
                passAsFile = [ "script" ];
                builder = "/bin/sh";
                args = [
                  "-euc"
                  (
                    tools
                    + builtins.concatStringsSep "" (map (input: ":${input}/bin") environment.nativeBuildInputs)
                    + "; export PATH; . \"$scriptPath\""
                  )
                ];
              }
            );
          prometheus = package system "prometheus" { cli = package system "promtool" { }; };
          mkShell =
            { packages }: package system "shell" { inherit packages; };
          dockerTools.buildLayeredImage =
            {
              name,
              tag,
              contents,
              fakeRootCommands,
              config,
            }:
            package system "image-${tag}" { inherit contents config; };
          rustPlatform.buildRustPackage =
            {
              pname,
              version,
              src,
              cargoLock,
              env,
              doCheck,
              meta,
            }:
            assert builtins.all builtins.isString (builtins.attrValues env);
            assert builtins.pathExists "${src}/src/main.rs";
            assert (builtins.fromTOML (builtins.readFile cargoLock.lockFile)).version >= 3;
            derivation {
              name = "${pname}-${version}";
              inherit system;
              builder = "/bin/sh";
              args = [
                "-euc"
                "${tools}; mkdir -p \"$out/bin\"; ln -s ${toString program} \"$out/bin/monprov\""
              ];
            }
            // {
              inherit pname version meta;
            };
        }
      );
    };
}
