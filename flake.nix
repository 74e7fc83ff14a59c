{
  description = "Declarative, reproducible provisioning of monitoring stacks";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      forEachSystem = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      cargo = builtins.fromTOML (builtins.readFile ./Cargo.toml);
    in
    {
      packages = forEachSystem (pkgs: rec {
        # The relay as a container: nix build .#image && docker load < result
        image = pkgs.dockerTools.buildLayeredImage {
          name = "monprov/monprov";
          tag = cargo.package.version;
          # A shell and wget for the health check, and whom TLS trusts.
          contents = [
            default
            pkgs.busybox
            pkgs.cacert
          ];
          fakeRootCommands = "install -d -o 65534 -g 65534 -m 0700 var/lib/monprov";
          config = {
            Entrypoint = [ "/bin/monprov" ];
            User = "65534:65534";
            Volumes."/var/lib/monprov" = { };
            Env = [ "SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt" ];
          };
        };
        default = pkgs.rustPlatform.buildRustPackage {
          pname = cargo.package.name;
          version = cargo.package.version;
          src = self;
          cargoLock.lockFile = ./Cargo.lock;
          # The tests run the real daemons: `tests/run` in a checkout.
          doCheck = false;
          meta = {
            description = cargo.package.description;
            license = pkgs.lib.licenses.asl20;
            mainProgram = cargo.package.name;
          };
        };
      });

      # services.monprov.profiles.prod = { project = ./monitoring; };
      nixosModules.default =
        {
          config,
          lib,
          pkgs,
          ...
        }:
        let
          cfg = config.services.monprov;
          profile = lib.types.submodule {
            options = {
              project = lib.mkOption {
                type = lib.types.path;
                description = "The folder with `profiles/` in it.";
              };
              runtime = lib.mkOption {
                type = lib.types.enum [
                  "process"
                  "compose"
                ];
                default = "compose";
                description = "The profile's `stack.runtime`.";
              };
              environmentFile = lib.mkOption {
                type = lib.types.nullOr lib.types.path;
                default = null;
                description = "Variables and secrets, outside the Nix store.";
              };
              user = lib.mkOption {
                type = lib.types.nullOr lib.types.str;
                default = null;
                description = "Who runs the programs of the process runtime; by default root.";
              };
              packages = lib.mkOption {
                type = lib.types.listOf lib.types.package;
                default = [ ];
                description = "The programs of the process runtime, and those that secrets come from.";
              };
            };
          };
          unit =
            name: profile:
            let
              process = profile.runtime == "process";
              verb = if process then "up --no-build" else "activate";
              file = lib.optionalString (profile.environmentFile != null) " --env-file ${profile.environmentFile}";
            in
            lib.nameValuePair "monprov-${name}" {
              description = "Monitoring stack ${name} (monprov)";
              wantedBy = [ "multi-user.target" ];
              wants = [ "network-online.target" ];
              after = [ "network-online.target" ] ++ lib.optional (!process) "docker.service";
              requires = lib.optional (!process) "docker.service";
              path = profile.packages ++ lib.optional (!process) pkgs.docker;
              serviceConfig = {
                ExecStart = "${lib.getExe cfg.package} -C ${profile.project} --state-dir ${cfg.stateDir} ${verb} ${name}${file}";
                RuntimeDirectory = "monprov";
                RuntimeDirectoryMode = "0711";
                RuntimeDirectoryPreserve = true;
              }
              // lib.optionalAttrs (profile.user != null) { User = profile.user; }
              // (
                if process then
                  {
                    Type = "exec";
                    Restart = "on-failure";
                    TimeoutStopSec = 90;
                  }
                else
                  {
                    Type = "oneshot";
                    RemainAfterExit = true;
                    TimeoutStartSec = "10min";
                  }
              );
            };
        in
        {
          options.services.monprov = {
            package = lib.mkOption {
              type = lib.types.package;
              default = self.packages.${pkgs.system}.default;
              description = "The package that provides `monprov`.";
            };
            stateDir = lib.mkOption {
              type = lib.types.str;
              default = "/var/lib/monprov";
              description = "Where bundles and generations are kept.";
            };
            profiles = lib.mkOption {
              type = lib.types.attrsOf profile;
              default = { };
              description = "Profiles whose current generation is brought up at boot.";
            };
          };
          config = lib.mkIf (cfg.profiles != { }) {
            environment.systemPackages = [ cfg.package ];
            systemd.services = lib.mapAttrs' unit cfg.profiles;
          };
        };

      # What is needed to work on monprov, and the programs that it provisions.
      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.clippy
            pkgs.rustc
            pkgs.rustfmt
            pkgs.prometheus
            pkgs.prometheus.cli # promtool
            pkgs.prometheus-alertmanager
            pkgs.grafana
            pkgs.openbao
          ];
        };
      });
    };
}
