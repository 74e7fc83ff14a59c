# As much of NixOS as the flake's module uses: its options' defaults are filled in, types are
# not checked. Gives the systemd services of two profiles.
module:
let
  lib = {
    mkOption = option: option;
    mkIf = condition: value: if condition then value else { };
    optional = condition: value: if condition then [ value ] else [ ];
    optionalString = condition: text: if condition then text else "";
    optionalAttrs = condition: set: if condition then set else { };
    nameValuePair = name: value: { inherit name value; };
    mapAttrs' = f: set: builtins.listToAttrs (map (name: f name set.${name}) (builtins.attrNames set));
    getExe = package: "${package.name}/bin/monprov";
    types = {
      submodule = body: body;
      attrsOf = body: body;
      nullOr = inner: inner;
      listOf = inner: inner;
      enum = choices: choices;
      path = "path";
      str = "str";
      package = "package";
    };
  };
  pkgs = {
    system = "x86_64-linux";
    docker = "docker";
  };
  config.services.monprov = {
    package.name = "monprov";
    stateDir = options.stateDir.default;
    profiles = builtins.mapAttrs (_: profile: profileDefaults // profile) {
      prod = {
        project = "/etc/monitoring";
        environmentFile = "/run/keys/prod.env";
      };
      small = {
        project = "/srv/small";
        runtime = "process";
        user = "monitoring";
        packages = [ "prometheus" ];
      };
    };
  };
  options = (module { inherit config lib pkgs; }).options.services.monprov;
  profileDefaults = builtins.mapAttrs (_: option: option.default or null) options.profiles.type.options;
in
(module { inherit config lib pkgs; }).config.systemd.services
