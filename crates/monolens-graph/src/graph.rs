//! The graph and its builder.

use crate::{BackendError, DType, GraphError, Op, Shape};
use std::collections::BTreeMap;

/// Index of a [`Value`] in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// Index of a [`WeightSpec`] in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub usize);

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Given by the host for each run.
    Input,
    /// Lives on the device between runs and is shared by name among programs (KV pools, visual embeddings).
    State,
    /// Output of the node of this index.
    Node(usize),
}

/// A tensor in the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Unique in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Shape,
    /// Who makes it.
    pub source: Source,
}

/// A weight, by its checkpoint name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightSpec {
    /// Name in the checkpoint.
    pub name: String,
    /// Dimensions as stored; linear weights are [out, in].
    pub shape: Vec<usize>,
}

impl WeightSpec {
    /// Its elements seen as rows: how many, and how many elements of each. The last dimension is a row, but a
    /// convolution's row is one whole filter.
    pub fn rows(&self) -> (usize, usize) {
        match &self.shape[..] {
            [] => (1, 1),
            [n] => (1, *n),
            [rows, rest @ ..] if rest.len() >= 3 => (*rows, rest.iter().product()),
            [rest @ .., last] => (rest.iter().product(), *last),
        }
    }

    /// Checks the shape with which it was loaded, if it was.
    ///
    /// # Errors
    /// It was not, or with another shape.
    pub fn loaded<T>(&self, found: Option<T>, shape: impl Fn(&T) -> &[usize]) -> Result<T, BackendError> {
        let got = match found {
            None => "none loaded".to_owned(),
            Some(weight) if shape(&weight) == self.shape => return Ok(weight),
            Some(weight) => format!("{:?}", shape(&weight)),
        };
        let expected = format!("{:?}", self.shape);
        Err(BackendError::Weight { name: self.name.clone(), expected, got })
    }
}

/// One thing per modality. With `visual` empty every row takes `text`: no routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed<T> {
    /// For text rows, and for all rows when there is no visual expert.
    pub text: T,
    /// For visual rows.
    pub visual: Option<T>,
}

impl<T> Routed<T> {
    /// The same for all rows.
    pub fn shared(text: T) -> Self {
        Self { text, visual: None }
    }

    /// One for each modality.
    pub fn split(text: T, visual: T) -> Self {
        Self { text, visual: Some(visual) }
    }

    /// Whether rows of the two modalities are treated differently.
    pub fn is_routed(&self) -> bool {
        self.visual.is_some()
    }

    /// What either modality takes, text first: one thing serves both where there is but one.
    pub fn both(&self) -> [T; 2]
    where
        T: Copy,
    {
        [self.text, self.visual.unwrap_or(self.text)]
    }

    /// Those that there are, text first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.text).chain(self.visual.as_ref())
    }
}

/// What an expert of a routed linear does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expert {
    /// Multiplies by the transpose of this [out, in] weight.
    Weight(WeightId),
    /// Passes its rows through (the text side of the chained output projection, spec §7).
    Identity,
}

impl Expert {
    /// The weight, if there is one.
    pub fn weight(self) -> Option<WeightId> {
        match self {
            Expert::Weight(id) => Some(id),
            Expert::Identity => None,
        }
    }
}

/// One application of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// For people: `layers.3.attention`.
    pub name: String,
    /// What is computed.
    pub op: Op,
    /// Inputs in the order the operator documents; states an operator writes are among them.
    pub inputs: Vec<ValueId>,
    /// The result; none for an operator that only writes a state.
    pub output: Option<ValueId>,
}

/// A model (or a part of one) as plain data. Nodes are in execution order.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// What it is, for people.
    pub name: String,
    /// All values.
    pub values: Vec<Value>,
    /// All weights.
    pub weights: Vec<WeightSpec>,
    /// All nodes, in execution order.
    pub nodes: Vec<Node>,
    /// Values that the host may read after a run, by name.
    pub outputs: BTreeMap<String, ValueId>,
}

impl Graph {
    /// The value of an id.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The weight of an id.
    pub fn weight(&self, id: WeightId) -> &WeightSpec {
        &self.weights[id.0]
    }

    /// The input or state of this name.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.values.iter().position(|v| v.name == name).map(ValueId)
    }

    /// All values of a source kind, inputs or states.
    pub fn of_source(&self, source: Source) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values.iter().enumerate().filter(move |(_, v)| v.source == source).map(|(i, v)| (ValueId(i), v))
    }

    /// The weights that some node uses, in order of first use.
    pub fn used_weights(&self) -> Vec<WeightId> {
        let mut seen = vec![false; self.weights.len()];
        let mut used = Vec::new();
        for id in self.nodes.iter().flat_map(|n| n.op.weights()) {
            if !std::mem::replace(&mut seen[id.0], true) {
                used.push(id);
            }
        }
        used
    }

    /// How many nodes read each value.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        for id in self.nodes.iter().flat_map(|n| &n.inputs) {
            uses[id.0] += 1;
        }
        uses
    }
}

/// Builds a [`Graph`]; shapes are inferred and checked as nodes are pushed.
#[derive(Debug)]
pub struct GraphBuilder {
    graph: Graph,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            graph: Graph {
                name: name.into(),
                values: Vec::new(),
                weights: Vec::new(),
                nodes: Vec::new(),
                outputs: BTreeMap::new(),
            },
        }
    }

    fn outer(&mut self, name: &str, dtype: DType, shape: Shape, source: Source) -> ValueId {
        if let Some(id) = self.graph.find(name) {
            return id;
        }
        self.graph.values.push(Value { name: name.into(), dtype, shape, source });
        ValueId(self.graph.values.len() - 1)
    }

    /// A value given by the host; asking again for the same name gives the same value.
    pub fn input(&mut self, name: &str, dtype: DType, shape: impl Into<Shape>) -> ValueId {
        self.outer(name, dtype, shape.into(), Source::Input)
    }

    /// A value that lives on the device between runs; asking again for the same name gives the same value.
    pub fn state(&mut self, name: &str, dtype: DType, shape: impl Into<Shape>) -> ValueId {
        self.outer(name, dtype, shape.into(), Source::State)
    }

    /// A weight by its checkpoint name; asking again for the same name gives the same weight.
    pub fn weight(&mut self, name: impl Into<String>, shape: impl Into<Vec<usize>>) -> WeightId {
        let (name, shape) = (name.into(), shape.into());
        if let Some(i) = self.graph.weights.iter().position(|w| w.name == name) {
            return WeightId(i);
        }
        self.graph.weights.push(WeightSpec { name, shape });
        WeightId(self.graph.weights.len() - 1)
    }

    /// Adds a node and returns its result.
    ///
    /// # Errors
    /// Names the node, the operator, what it expected and what it got. An operator without a result
    /// (see [`GraphBuilder::push_effect`]) is refused here.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: impl Into<Op>,
        inputs: &[ValueId],
    ) -> Result<ValueId, GraphError> {
        let (name, op) = (name.into(), op.into());
        let operator = op.name();
        match self.add(name.clone(), op, inputs)? {
            Some(id) => Ok(id),
            None => Err(GraphError::Mismatch {
                node: name,
                operator,
                what: "result".into(),
                expected: "an operator with a result".into(),
                got: "one that only writes a state".into(),
            }),
        }
    }

    /// Adds a node that only writes a state.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn push_effect(
        &mut self,
        name: impl Into<String>,
        op: impl Into<Op>,
        inputs: &[ValueId],
    ) -> Result<(), GraphError> {
        self.add(name.into(), op.into(), inputs).map(|_| ())
    }

    fn add(&mut self, name: String, op: Op, inputs: &[ValueId]) -> Result<Option<ValueId>, GraphError> {
        let result = op.infer(&self.graph, &name, inputs)?;
        let node = self.graph.nodes.len();
        let output = result.map(|(dtype, shape)| {
            let source = Source::Node(node);
            self.graph.values.push(Value { name: name.clone(), dtype, shape, source });
            ValueId(self.graph.values.len() - 1)
        });
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        Ok(output)
    }

    /// Lets the host read a value after a run. A value that is an output is never fused away.
    ///
    /// # Errors
    /// When the name already names another value.
    pub fn output(&mut self, name: impl Into<String>, id: ValueId) -> Result<(), GraphError> {
        let name = name.into();
        match self.graph.outputs.insert(name.clone(), id) {
            Some(old) if old != id => Err(GraphError::NameClash {
                name,
                first: self.graph.value(old).name.clone(),
                second: self.graph.value(id).name.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }
}
