// Grafana's own types for what monprov renders. JSON has no enums, so `Plain` replaces each
// by its values; everything else is as `@grafana/schema` has it, and closed where it is not.
import type {
  Dashboard,
  DataQuery,
  FieldConfig,
  GraphFieldConfig,
  HideableFieldConfig,
  Panel,
  TableFieldOptions,
} from '@grafana/schema';
import type { Options as BarGauge } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as Gauge } from '@grafana/schema/dist/esm/raw/composable/gauge/panelcfg/x/GaugePanelCfg_types.gen';
import type { Options as PieChart } from '@grafana/schema/dist/esm/raw/composable/piechart/panelcfg/x/PieChartPanelCfg_types.gen';
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as Table } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Plain<T> = T extends string
  ? `${T}`
  : T extends number
    ? `${T}` extends `${infer N extends number}` ? N : never
    : T extends (infer Item)[]
      ? Plain<Item>[]
      : T extends object
        ? { [Key in keyof T]: Plain<T[Key]> }
        : T;

// The query of Grafana's Prometheus plugin, which the package does not carry.
type Query = DataQuery & {
  expr: string;
  editorMode: 'code' | 'builder';
  legendFormat?: string;
  instant: boolean;
  range: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
};

type Typed<Type, Options, Custom> = Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & {
  type: Type;
  options: Options;
  targets: Query[];
  fieldConfig: { defaults: Omit<FieldConfig, 'custom'> & { custom: Custom }; overrides: [] };
};

type None = Record<string, never>;

export type Strict = Plain<
  Omit<Dashboard, 'panels'> & {
    panels: (
      | Typed<'timeseries', TimeSeries, GraphFieldConfig>
      | Typed<'gauge', Gauge, None>
      | Typed<'stat', Stat, None>
      | Typed<'bargauge', BarGauge, None>
      | Typed<'table', Table, TableFieldOptions>
      | Typed<'piechart', PieChart, HideableFieldConfig>
    )[];
  }
>;
